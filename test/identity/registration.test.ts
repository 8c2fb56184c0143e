import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { PasswordNotAllowedError } from '../../src/identity/password-policy.js';
import { UsernameTakenError } from '../../src/identity/registration.js';
import { InvalidUsernameError } from '../../src/identity/username.js';
import type { RedisKeys } from '../../src/redis/keys.js';
import { keysUnder } from '../support/audit.js';
import { PASSWORD } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { CountingHasher, InterruptedRedis, matched, redisTime, registrationSteps, usersOn } from './fixture.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const hasher = new CountingHasher({ queueLimit: 1000 });
const password = PASSWORD;
const passwordHash = await hasher.hash(password);

/** Users under a new key prefix. */
function fresh({ connection = client, ...options }: { connection?: Redis; minimumLength?: number } = {}) {
  return usersOn(connection, { hasher, ...options });
}

const steps = (keys: RedisKeys, username: string) => registrationSteps(client, { keys, username, passwordHash });

function interrupted(): InterruptedRedis {
  const connection = new InterruptedRedis({ host: redis.host, port: redis.port });
  t.teardown(() => connection.disconnect());
  return connection;
}

t.test('a registered user has a record that does not expire, and can log in', async (t) => {
  const { keys, directory, registration, passwords, prefix } = fresh();
  const before = await redisTime(client);
  const { subject, username } = await registration.register({ username: ' Ada@Example.org', password });
  t.match(subject, /^[A-Za-z0-9_-]{22}$/);
  t.equal(username, 'ada@example.org');
  const verified = await matched(passwords.verify({ username: 'ADA@example.org', password }));
  t.match(verified, { subject, username, credential: /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/ });
  t.equal(verified.credential, await client.hget(keys.user(subject), 'password'));

  const record = await client.hgetall(keys.user(subject));
  t.strictSame(Object.keys(record).sort(), ['createdAt', 'password', 'passwordChangedAt', 'username']);
  t.equal(record['createdAt'], record['passwordChangedAt']);
  const user = await directory.get(subject);
  t.strictSame(user, { subject, username, createdAt: Number(record['createdAt']) });
  t.ok(user!.createdAt >= before && user!.createdAt <= (await redisTime(client)), 'by the clock of Redis');

  t.strictSame(await keysUnder(client, prefix), [keys.login(username), keys.user(subject)].sort());
  t.equal(await client.get(keys.login(username)), subject);
  for (const key of await keysUnder(client, prefix)) t.equal(await client.pttl(key), -1, 'no expiry');
});

t.test('registering any spelling of a taken username fails before anything is hashed', async (t) => {
  const { registration, prefix } = fresh();
  await registration.register({ username: 'renée', password });
  const jobs = hasher.jobs;
  for (const username of ['renée', 'RENÉE', 'rene\u0301e', 'ｒｅｎéｅ']) {
    await t.rejects(registration.register({ username, password }), { code: 'username_taken' });
  }
  t.equal(hasher.jobs, jobs);
  t.equal((await keysUnder(client, prefix)).length, 2);
});

t.test('registering with an invalid username or password stores nothing', async (t) => {
  const { registration, prefix } = fresh();
  await t.rejects(registration.register({ username: 'a b', password }), InvalidUsernameError);
  await t.rejects(registration.register({ username: 'zoë', password: 'too short' }), PasswordNotAllowedError);
  await t.rejects(registration.register({ username: 'ada-of-example.org', password: 'ADA-of-example.org' }), {
    code: 'password_not_allowed',
    reason: 'is_username',
  });
  t.same(await keysUnder(client, prefix), []);
});

t.test('exactly one of 100 simultaneous registrations of a username succeeds, and that user can log in', async (t) => {
  const { keys, registration, passwords, prefix } = fresh();
  const variants = ['renée', 'RENÉE', 'rene\u0301e', 'ｒｅｎéｅ', 'RENE\u0301E', ' Renée '];
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) =>
      registration.register({ username: variants[i % variants.length]!, password: `${password} ${i}` }),
    ),
  );
  const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [{ i, ...result.value }] : []));
  t.equal(winners.length, 1);
  for (const result of results) if (result.status === 'rejected') t.ok(result.reason instanceof UsernameTakenError);
  const { i, subject } = winners[0]!;
  t.strictSame(await keysUnder(client, prefix), [keys.login('renée'), keys.user(subject)].sort());
  t.match(await passwords.verify({ username: 'renée', password: `${password} ${i}` }), { verified: true, subject });
});

t.test('a registration that crashes after any step does not block the username', async (t) => {
  t.test('a registration that crashes after creating the record leaves a record that expires', async (t) => {
    const { keys, registration } = fresh();
    const dead = steps(keys, 'zoë');
    const before = await redisTime(client);
    t.match(await dead.create(61_700), { outcome: 'created' });
    const end = await client.pexpiretime(dead.user);
    t.ok(end >= before + 61_700 && end <= (await redisTime(client)) + 61_700);
    t.ok(await registration.register({ username: 'zoë', password }), 'the name is free at once');
  });

  t.test('a registration that crashes after claiming the name frees it when the record expires', async (t) => {
    const { keys, directory, registration, passwords } = fresh();
    const dead = steps(keys, 'zoë');
    await dead.create();
    t.match(await dead.claim(), { outcome: 'claimed' });
    await t.rejects(
      registration.register({ username: 'zoë', password }),
      UsernameTakenError,
      'the other registration may still be confirmed',
    );
    t.strictSame(
      await passwords.verify({ username: 'zoë', password }),
      { verified: false, subject: dead.subject },
      'an unconfirmed user cannot log in',
    );
    t.strictSame(await passwords.verifySubject(dead.subject, password), { verified: false, subject: dead.subject });
    t.equal(await directory.get(dead.subject), undefined);
    await client.pexpire(dead.user, 0);
    const { subject } = await registration.register({ username: 'zoë', password });
    t.equal(await client.get(keys.login('zoë')), subject);
    t.match(await dead.confirm(), { outcome: 'expired' }, 'the first registration can no longer be confirmed');
    t.equal(await client.exists(dead.user), 0);
    t.match(await passwords.verify({ username: 'zoë', password }), { verified: true, subject });
  });

  t.test('a registration that crashes after confirming the record leaves a user who can log in', async (t) => {
    const { keys, passwords } = fresh();
    const done = steps(keys, 'zoë');
    await done.create();
    await done.claim();
    t.match(await done.confirm(), { outcome: 'confirmed' });
    t.equal(await client.pttl(done.user), -1);
    t.match(await passwords.verify({ username: 'zoë', password }), { verified: true, subject: done.subject });
  });
});

t.test('repeating a step of a registration changes nothing', async (t) => {
  const { keys, directory } = fresh();
  const twice = steps(keys, 'zoë');
  await twice.create();
  t.match(await twice.create(), { outcome: 'exists' });
  await twice.claim();
  t.match(await twice.claim(), { outcome: 'claimed' });
  await twice.confirm();
  const record = await client.hgetall(twice.user);
  await sleep(5);
  await twice.confirm();
  t.match(await twice.create(), { outcome: 'exists' }, 'a confirmed user gets no expiry');
  t.same(await client.hgetall(twice.user), record);
  t.equal(await client.pttl(twice.user), -1);
  t.equal((await directory.get(twice.subject))?.username, 'zoë');
});

t.test('of two registrations that find the same abandoned username only one gets it', async (t) => {
  const { keys } = fresh();
  const [dead, first, second] = [steps(keys, 'zoë'), steps(keys, 'zoë'), steps(keys, 'zoë')];
  await dead.claim();
  await first.create();
  await second.create();
  t.strictSame(await first.claim(), { outcome: 'taken', subject: dead.subject });
  t.strictSame(await second.claim(), { outcome: 'taken', subject: dead.subject });
  t.match(await second.claim(dead.subject), { outcome: 'claimed' });
  t.strictSame(await first.claim(dead.subject), { outcome: 'taken', subject: second.subject });
});

t.test('in every interleaving of two registrations of a username at most one is confirmed', async (t) => {
  // '123' and 'abc' are the steps of the two registrations, 'x' is the expiry of the first one's record.
  // Each order is one way to interleave them.
  const orders = (a: string, b: string): string[] =>
    a === '' || b === ''
      ? [a + b]
      : [...orders(a.slice(1), b).map((o) => a[0]! + o), ...orders(a, b.slice(1)).map((o) => b[0]! + o)];
  const all = new Set(orders('123', 'abc').flatMap((order) => [order, ...orders(order, 'x')]));
  for (const order of all) {
    const { keys, registration } = fresh();
    const [one, two] = [steps(keys, 'zoë'), steps(keys, 'zoë')];
    const alive = { one: true, two: true };
    const claim = async (who: typeof one) => {
      let staleOwner = '';
      for (;;) {
        const reply = await who.claim(staleOwner);
        if (reply.outcome === 'claimed') return true;
        if (await client.exists(keys.user(reply['subject']!))) return (await client.del(who.user)) < 0;
        staleOwner = reply['subject']!;
      }
    };
    const acts: Record<string, () => Promise<unknown>> = {
      '1': () => one.create(),
      a: () => two.create(),
      '2': async () => (alive.one = await claim(one)),
      b: async () => (alive.two = await claim(two)),
      '3': async () => (alive.one &&= (await one.confirm()).outcome === 'confirmed'),
      c: async () => (alive.two &&= (await two.confirm()).outcome === 'confirmed'),
      x: async () => (await client.pttl(one.user)) > 0 && client.del(one.user),
    };
    for (const step of order) await acts[step]!();
    const confirmed = [...(alive.one ? [one] : []), ...(alive.two ? [two] : [])];
    if (confirmed.length > 1) t.fail(`${order}: both were confirmed`);
    const holder = await client.get(keys.login('zoë'));
    if (confirmed[0] && confirmed[0].subject !== holder) t.fail(`${order}: confirmed without the name`);
    if (confirmed.length === 0) {
      // Nobody has the name, so it must be free once the pending records have expired.
      for (const { user } of [one, two]) if ((await client.pttl(user)) > 0) await client.del(user);
      if (!(await registration.register({ username: 'zoë', password }).catch(() => undefined)))
        t.fail(`${order}: blocked`);
    }
  }
  t.equal(all.size, 20 * 7 + 20);
});

t.test('a registration that loses the username while hashing deletes its record', async (t) => {
  const connection = interrupted();
  const { keys, registration, prefix } = fresh({ connection });
  const other = steps(keys, 'zoë');
  connection.before = async (key) => {
    if (key !== keys.login('zoë')) return;
    await other.create();
    await other.claim();
    await other.confirm();
  };
  await t.rejects(registration.register({ username: 'zoë', password }), UsernameTakenError);
  t.strictSame(await keysUnder(client, prefix), [keys.login('zoë'), other.user].sort());
});

t.test('a registration takes over a username that is abandoned while it is hashing', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  connection.before = (key) => (key === keys.login('zoë') ? steps(keys, 'zoë').claim() : Promise.resolve());
  const { subject } = await registration.register({ username: 'zoë', password });
  t.equal(await client.get(keys.login('zoë')), subject);
});

t.test('a registration gives up after five attempts to claim a username that keeps changing hands', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  let claims = 0;
  connection.before = async (key) => {
    if (key !== keys.login('zoë')) return;
    claims++;
    await client.set(key, steps(keys, 'zoë').subject);
  };
  await t.rejects(registration.register({ username: 'zoë', password }), UnavailableError);
  t.equal(claims, 5);
});

t.test('a registration whose record expires before it is confirmed fails', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  let scripts = 0;
  connection.before = async (key) => {
    if (++scripts === 3) await client.pexpire(key, 0);
  };
  await t.rejects(registration.register({ username: 'zoë', password }), { code: 'unavailable' });
  t.equal(scripts, 3);
  connection.before = () => Promise.resolve();
  t.ok(await registration.register({ username: 'zoë', password }), 'the name is free');
  t.ok(await client.get(keys.login('zoë')));
});

t.test('usernames with separators and special characters have keys of their own', async (t) => {
  const { keys, registration, passwords, prefix } = fresh();
  for (const username of ['{a3f0}', 'a:b', 'login:ada', '%41', '*', '😀'.repeat(254)]) {
    const { subject } = await registration.register({ username, password });
    t.match(await passwords.verify({ username, password }), { verified: true, subject });
    t.equal(await client.get(keys.login(username)), subject);
  }
  t.equal((await keysUnder(client, prefix)).length, 12);
});
