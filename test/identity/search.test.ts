import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { PasswordHasher } from '../../src/identity/hasher.js';
import { InvalidCursorError } from '../../src/identity/search.js';
import { claimLogin, confirmUser, createUser, Users } from '../../src/identity/users.js';
import { Keys } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';
import { startCluster, startRedis } from '../support/redis.js';

/** Users without passwords, under a prefix of their own. */
async function withUsers(client: RedisClient, usernames: readonly string[]) {
  const keys = new Keys(`${randomBytes(6).toString('hex')}[*]:`);
  await Promise.all(
    usernames.map(async (username) => {
      const subject = randomBytes(16).toString('base64url');
      const user = keys.user(subject);
      await createUser(client, { keys: { user }, args: { username, password: 'none', pendingMs: 60_000 } });
      await claimLogin(client, { keys: { login: keys.login(username) }, args: { subject, gone: '' } });
      await confirmUser(client, { keys: { user }, args: {} });
    }),
  );
  return { keys, users: new Users(client, keys, new PasswordHasher()) };
}

async function found(users: Users, prefix: string): Promise<string[]> {
  const names = new Set<string>();
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const part: Awaited<ReturnType<Users['search']>> = await users.search(prefix, cursor);
    for (const { username } of part.users) names.add(username);
    ({ cursor } = part);
  }
  return [...names].sort();
}

async function searches(t: Test, client: RedisClient): Promise<void> {
  const many = Array.from({ length: 1500 }, (_, i) => `many${String(i).padStart(4, '0')}`);
  const { keys, users } = await withUsers(client, ['ada', 'adam', 'adé', 'a*d', 'bob', ...many]);

  t.same(await found(users, 'ad'), ['ada', 'adam', 'adé']);
  t.same(await found(users, 'ＡＤＡ'), ['ada', 'adam'], 'normalized like a username');
  t.same(await found(users, 'a*'), ['a*d'], 'no character stands for another');
  t.same(await found(users, 'nobody'), []);
  t.same(await found(users, 'many'), many, 'part by part');
  t.equal((await found(users, '')).length, many.length + 5, 'an empty prefix finds all');

  const [ada] = (await users.search('ada')).users;
  t.match(ada, { subject: /^[\w-]{22}$/, username: /^ada/ });
  await client.del(keys.user((await client.get(keys.login('adam')))!));
  await client.set(keys.login('adx'), (await client.get(keys.login('bob')))!);
  t.same(await found(users, 'ad'), ['ada', 'adé'], 'a name whose holder is gone, or goes by another, is not found');

  for (const cursor of ['x', '1', '0.-1', '1.2.3', '0.1; FLUSHALL']) {
    await t.rejects(users.search('', cursor), new InvalidCursorError());
  }
  for (const cursor of ['9.0', '10.0']) t.same(await users.search('', cursor), { users: [] }, 'masters can have gone');
}

t.test('users are found by the beginning of their names', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  await searches(t, redis.client());

  const client = redis.client();
  const strays = Array.from({ length: 30_000 }, (_, i) => [`stray:${i}`, '']).flat();
  await client.mset(...strays);
  const { users } = await withUsers(client, []);
  const part = await users.search('');
  t.same(part.users, []);
  t.type(part.cursor, 'string', 'a part ends after so many keys, found something or not');
  t.same(await found(users, ''), []);
});

t.test('on every master of a Cluster', async (t) => {
  const { cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(stop);
  const client = cluster();
  await client.ping();
  await searches(t, client);
});

t.test('a walk goes on although a name is freed meanwhile', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  const client = redis.client();
  const { keys, users } = await withUsers(client, ['ada']);
  const get = client.get.bind(client);
  client.get = async (key: string) => {
    await client.del(keys.login('ada'));
    return get(key);
  };
  t.same(await users.search('ada'), { users: [] });
});
