import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import type { UserDirectory } from '../../src/identity/directory.js';
import { InvalidCursorError } from '../../src/identity/search.js';
import type { RedisClient } from '../../src/redis/script.js';
import { startCluster, startRedis } from '../support/redis.js';
import { registrationSteps, usersOn } from './fixture.js';

/** Users without passwords, under a new key prefix that contains a pattern. */
async function withUsers(client: RedisClient, usernames: readonly string[]) {
  const { keys, directory } = usersOn(client, { prefix: `${randomBytes(6).toString('hex')}[*]:` });
  await Promise.all(
    usernames.map(async (username) => {
      const { create, claim, confirm } = registrationSteps(client, { keys, username });
      await create();
      await claim();
      await confirm();
    }),
  );
  return { keys, directory };
}

async function found(directory: UserDirectory, prefix: string): Promise<string[]> {
  const names = new Set<string>();
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const part: Awaited<ReturnType<UserDirectory['search']>> = await directory.search(prefix, cursor);
    for (const { username } of part.users) names.add(username);
    ({ cursor } = part);
  }
  return [...names].sort();
}

async function searches(t: Test, client: RedisClient): Promise<void> {
  const many = Array.from({ length: 1500 }, (_, i) => `many${String(i).padStart(4, '0')}`);
  const { keys, directory } = await withUsers(client, ['ada', 'adam', 'adé', 'a*d', 'bob', ...many]);

  t.same(await found(directory, 'ad'), ['ada', 'adam', 'adé']);
  t.same(await found(directory, 'ＡＤＡ'), ['ada', 'adam'], 'normalized like a username');
  t.same(await found(directory, 'a*'), ['a*d'], 'wildcards have no special meaning');
  t.same(await found(directory, 'nobody'), []);
  t.same(await found(directory, 'many'), many, 'over several parts');
  t.equal((await found(directory, '')).length, many.length + 5, 'an empty prefix finds all users');

  const [ada] = (await directory.search('ada')).users;
  t.match(ada, { subject: /^[\w-]{22}$/, username: /^ada/ });
  await client.del(keys.user((await client.get(keys.login('adam')))!));
  await client.set(keys.login('adx'), (await client.get(keys.login('bob')))!);
  t.same(await found(directory, 'ad'), ['ada', 'adé'], 'a name is not found if its holder is gone or has another name');

  for (const cursor of ['x', '1', '0.-1', '1.2.3', '0.1; FLUSHALL']) {
    await t.rejects(directory.search('', cursor), new InvalidCursorError());
  }
  for (const cursor of ['9.0', '10.0'])
    t.same(await directory.search('', cursor), { users: [] }, 'a cursor for a master that is gone');
}

t.test('users are found by the prefix of their usernames', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  await searches(t, redis.client());

  const client = redis.client();
  const strays = Array.from({ length: 30_000 }, (_, i) => [`stray:${i}`, '']).flat();
  await client.mset(...strays);
  const { directory } = await withUsers(client, []);
  const part = await directory.search('');
  t.same(part.users, []);
  t.type(part.cursor, 'string', 'a part ends after a number of scans, even if they find nothing');
  t.same(await found(directory, ''), []);
});

t.test('users are found on every master of a Cluster', async (t) => {
  const { cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(stop);
  const client = cluster();
  await client.ping();
  await searches(t, client);
});

t.test('a search skips a username that is freed while it runs', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  const client = redis.client();
  const { keys, directory } = await withUsers(client, ['ada']);
  const get = client.get.bind(client);
  client.get = async (key: string) => {
    await client.del(keys.login('ada'));
    return get(key);
  };
  t.same(await directory.search('ada'), { users: [] });
});
