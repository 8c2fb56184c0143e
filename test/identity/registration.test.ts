import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { PasswordNotAllowedError } from '../../src/identity/password-policy.js';
import { UsernameTakenError } from '../../src/identity/registration.js';
import { InvalidUsernameError } from '../../src/identity/username.js';
import type { Keys } from '../../src/redis/keys.js';
import { keysUnder } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { CountingHasher, InterruptedRedis, matched, PASSWORD, registrationSteps, usersOn } from './fixture.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const hasher = new CountingHasher({ queueLimit: 1000 });
const password = PASSWORD;
const passwordHash = await hasher.hash(password);

/** Users under a prefix of their own, on this connection. */
function fresh({ connection = client, ...options }: { connection?: Redis; minimumLength?: number } = {}) {
  return usersOn(connection, { hasher, ...options });
}

const steps = (keys: Keys, username: string) => registrationSteps(client, { keys, username, passwordHash });

function interrupted(): InterruptedRedis {
  const connection = new InterruptedRedis({ host: redis.host, port: redis.port });
  t.teardown(() => connection.disconnect());
  return connection;
}

t.test('who registers can log in', async (t) => {
  const { keys, directory, registration, passwords, prefix } = fresh();
  const before = Date.now();
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
  t.ok(user!.createdAt >= before - 1000 && user!.createdAt <= Date.now() + 1000, 'milliseconds since the epoch');

  t.strictSame(await keysUnder(client, prefix), [keys.login(username), keys.user(subject)].sort());
  t.equal(await client.get(keys.login(username)), subject);
  for (const key of await keysUnder(client, prefix)) t.equal(await client.pttl(key), -1, 'neither expires');
});

t.test('a name that somebody has is taken, in every spelling, before anything is hashed', async (t) => {
  const { registration, prefix } = fresh();
  await registration.register({ username: 'renée', password });
  const jobs = hasher.jobs;
  for (const username of ['renée', 'RENÉE', 'rene\u0301e', 'ｒｅｎéｅ']) {
    await t.rejects(registration.register({ username, password }), { code: 'username_taken' });
  }
  t.equal(hasher.jobs, jobs);
  t.equal((await keysUnder(client, prefix)).length, 2);
});

t.test('a name or password that is not allowed registers nobody', async (t) => {
  const { registration, prefix } = fresh();
  await t.rejects(registration.register({ username: 'a b', password }), InvalidUsernameError);
  await t.rejects(registration.register({ username: 'ada', password: 'too short' }), PasswordNotAllowedError);
  await t.rejects(registration.register({ username: 'ada-of-example.org', password: 'ADA-of-example.org' }), {
    code: 'password_not_allowed',
    reason: 'is_username',
  });
  t.same(await keysUnder(client, prefix), []);
});

t.test('of 100 who register variants of one name at once exactly one succeeds, and can log in', async (t) => {
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

t.test('a crash after any step leaves nothing behind that blocks the name', async (t) => {
  t.test('after the first, a record that expires', async (t) => {
    const { keys, registration } = fresh();
    const dead = steps(keys, 'ada');
    t.match(await dead.create(), { outcome: 'created' });
    const ttl = await client.pttl(dead.user);
    t.ok(ttl > 59_000 && ttl <= 60_000);
    t.ok(await registration.register({ username: 'ada', password }), 'and the name is free at once');
  });

  t.test('after the second, a name that is free when the record has expired', async (t) => {
    const { keys, directory, registration, passwords } = fresh();
    const dead = steps(keys, 'ada');
    await dead.create();
    t.match(await dead.claim(), { outcome: 'claimed' });
    await t.rejects(
      registration.register({ username: 'ada', password }),
      UsernameTakenError,
      'the other might be about to confirm',
    );
    t.strictSame(
      await passwords.verify({ username: 'ada', password }),
      { verified: false, subject: dead.subject },
      'who is not confirmed does not log in',
    );
    t.strictSame(await passwords.verifySubject(dead.subject, password), { verified: false, subject: dead.subject });
    t.equal(await directory.get(dead.subject), undefined);
    await client.pexpire(dead.user, 0);
    const { subject } = await registration.register({ username: 'ada', password });
    t.equal(await client.get(keys.login('ada')), subject);
    t.match(await dead.confirm(), { outcome: 'expired' }, 'and a process that was only slow cannot confirm');
    t.equal(await client.exists(dead.user), 0);
    t.match(await passwords.verify({ username: 'ada', password }), { verified: true, subject });
  });

  t.test('after the third, a user', async (t) => {
    const { keys, passwords } = fresh();
    const done = steps(keys, 'ada');
    await done.create();
    await done.claim();
    t.match(await done.confirm(), { outcome: 'confirmed' });
    t.equal(await client.pttl(done.user), -1);
    t.match(await passwords.verify({ username: 'ada', password }), { verified: true, subject: done.subject });
  });
});

t.test('a step that arrives twice does nothing the second time', async (t) => {
  const { keys, directory } = fresh();
  const twice = steps(keys, 'ada');
  await twice.create();
  t.match(await twice.create(), { outcome: 'exists' });
  await twice.claim();
  t.match(await twice.claim(), { outcome: 'claimed' });
  await twice.confirm();
  const record = await client.hgetall(twice.user);
  await sleep(5);
  await twice.confirm();
  t.match(await twice.create(), { outcome: 'exists' }, 'least of all give a user an expiry');
  t.same(await client.hgetall(twice.user), record);
  t.equal(await client.pttl(twice.user), -1);
  t.equal((await directory.get(twice.subject))?.username, 'ada');
});

t.test('two who find the same abandoned name do not both get it', async (t) => {
  const { keys } = fresh();
  const [dead, first, second] = [steps(keys, 'ada'), steps(keys, 'ada'), steps(keys, 'ada')];
  await dead.claim();
  await first.create();
  await second.create();
  t.strictSame(await first.claim(), { outcome: 'held', subject: dead.subject });
  t.strictSame(await second.claim(), { outcome: 'held', subject: dead.subject });
  t.match(await second.claim(dead.subject), { outcome: 'claimed' });
  t.strictSame(await first.claim(dead.subject), { outcome: 'held', subject: second.subject });
});

t.test('in every order of the steps of two registrations at most one is confirmed under the name', async (t) => {
  // 'x' is the moment when a's record expires; each order is one way to interleave a's steps, b's steps and it.
  const orders = (a: string, b: string): string[] =>
    a === '' || b === ''
      ? [a + b]
      : [...orders(a.slice(1), b).map((o) => a[0]! + o), ...orders(a, b.slice(1)).map((o) => b[0]! + o)];
  const all = new Set(orders('123', 'abc').flatMap((order) => [order, ...orders(order, 'x')]));
  for (const order of all) {
    const { keys, registration } = fresh();
    const [one, two] = [steps(keys, 'ada'), steps(keys, 'ada')];
    const alive = { one: true, two: true };
    const claim = async (who: typeof one) => {
      let gone = '';
      for (;;) {
        const reply = await who.claim(gone);
        if (reply.outcome === 'claimed') return true;
        if (await client.exists(keys.user(reply['subject']!))) return (await client.del(who.user)) < 0;
        gone = reply['subject']!;
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
    if (confirmed.length > 1) t.fail(`${order}: both`);
    const holder = await client.get(keys.login('ada'));
    if (confirmed[0] && confirmed[0].subject !== holder) t.fail(`${order}: confirmed without the name`);
    if (confirmed.length === 0) {
      // Nobody has it: then the name is free, at the latest when what is pending has expired.
      for (const { user } of [one, two]) if ((await client.pttl(user)) > 0) await client.del(user);
      if (!(await registration.register({ username: 'ada', password }).catch(() => undefined)))
        t.fail(`${order}: blocked`);
    }
  }
  t.equal(all.size, 20 * 7 + 20);
});

t.test('whoever is overtaken after hashing leaves no record', async (t) => {
  const connection = interrupted();
  const { keys, registration, prefix } = fresh({ connection });
  const other = steps(keys, 'ada');
  connection.before = async (key) => {
    if (key !== keys.login('ada')) return;
    await other.create();
    await other.claim();
    await other.confirm();
  };
  await t.rejects(registration.register({ username: 'ada', password }), UsernameTakenError);
  t.strictSame(await keysUnder(client, prefix), [keys.login('ada'), other.user].sort());
});

t.test('whoever finds the name abandoned only after hashing gets it', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  connection.before = (key) => (key === keys.login('ada') ? steps(keys, 'ada').claim() : Promise.resolve());
  const { subject } = await registration.register({ username: 'ada', password });
  t.equal(await client.get(keys.login('ada')), subject);
});

t.test('a name that always goes to somebody else who is gone is given up, for now', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  let claims = 0;
  connection.before = async (key) => {
    if (key !== keys.login('ada')) return;
    claims++;
    await client.set(key, steps(keys, 'ada').subject);
  };
  await t.rejects(registration.register({ username: 'ada', password }), UnavailableError);
  t.equal(claims, 5);
});

t.test('a registration that stalls until its record has expired fails', async (t) => {
  const connection = interrupted();
  const { keys, registration } = fresh({ connection });
  let scripts = 0;
  connection.before = async (key) => {
    if (++scripts === 3) await client.pexpire(key, 0);
  };
  await t.rejects(registration.register({ username: 'ada', password }), { code: 'unavailable' });
  t.equal(scripts, 3);
  connection.before = () => Promise.resolve();
  t.ok(await registration.register({ username: 'ada', password }), 'and the name is free');
  t.ok(await client.get(keys.login('ada')));
});

t.test('a name of any characters is a key of its own', async (t) => {
  const { keys, registration, passwords, prefix } = fresh();
  for (const username of ['{a3f0}', 'a:b', 'login:ada', '%41', '*', '😀'.repeat(254)]) {
    const { subject } = await registration.register({ username, password });
    t.match(await passwords.verify({ username, password }), { verified: true, subject });
    t.equal(await client.get(keys.login(username)), subject);
  }
  t.equal((await keysUnder(client, prefix)).length, 12);
});
