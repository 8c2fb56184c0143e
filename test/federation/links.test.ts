import t from 'tap';
import { AccountLinks } from '../../src/federation/links.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const keys = new RedisKeys('test:');

t.test('ignores an entry of the list of links that the link itself does not confirm', async (t) => {
  const links = new AccountLinks(client, keys);
  const account = { issuer: 'https://id.example', sub: 'contested' };
  t.equal(await links.link(account, 'first-subject', 'corp'), 'first-subject');
  t.equal(await links.link(account, 'second-subject', 'corp'), 'first-subject');
  t.same(await links.list('second-subject'), []);
  const [link] = await links.list('first-subject');
  await client.hset(keys.links('second-subject'), link!.id, JSON.stringify({ provider: 'corp', linkedAt: 1 }));
  t.same(await links.list('second-subject'), []);
  await links.unlink('second-subject', link!.id);
  t.equal(await links.findSubject(account), 'first-subject');
  t.equal(await client.exists(keys.links('second-subject')), 0);
});
