import type { Redis } from 'ioredis';
import t from 'tap';
import { BusyError, PasswordHasher } from '../../src/identity/password-hasher.js';
import { Passwords } from '../../src/identity/passwords.js';
import { keysUnder } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { CountingHasher, InterruptedRedis, matched, PASSWORD, usersOn } from './fixture.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const hasher = new CountingHasher({ queueLimit: 1000 });
const password = PASSWORD;

/** Users under a prefix of their own, on this connection. */
function fresh({ connection = client, ...options }: { connection?: Redis; minimumLength?: number } = {}) {
  return usersOn(connection, { hasher, ...options });
}

function interrupted(): InterruptedRedis {
  const connection = new InterruptedRedis({ host: redis.host, port: redis.port });
  t.teardown(() => connection.disconnect());
  return connection;
}

t.test('a login that fails says nothing about why, and always costs one hash', async (t) => {
  const { keys, registration, passwords, prefix } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  const disabled = await registration.register({ username: 'disabled', password });
  await client.hset(keys.user(disabled.subject), 'disabledAt', 1_700_000_000_000);
  await client.hset(keys.user('federated'), { username: 'federated', createdAt: 1 });
  await client.set(keys.login('federated'), 'federated');
  await client.set(keys.login('abandoned'), 'nobody');
  await client.set(keys.login('astray'), subject);
  const before = await keysUnder(client, prefix);

  const subjects: Record<string, string> = { ada: subject, disabled: disabled.subject, federated: 'federated' };
  const failures = {
    'wrong password': { username: 'ada', password: `${password}.` },
    'unknown user': { username: 'grace', password },
    'disabled user': { username: 'disabled', password },
    'disabled user, wrong password': { username: 'disabled', password: 'wrong' },
    'user without a password': { username: 'federated', password },
    'name whose user is gone': { username: 'abandoned', password },
    'name that is another user’s': { username: 'astray', password },
    'name that nobody can have': { username: 'a\u0000b', password },
    'password that nobody can have': { username: 'ada', password: 'x'.repeat(1025) },
    'password that is no Unicode': { username: 'ada', password: '\ud800' },
    'empty password': { username: 'ada', password: '' },
  };
  for (const [why, input] of Object.entries(failures)) {
    // verifyDecoy verifies against a decoy, so each counts once.
    const jobs = hasher.jobs;
    t.strictSame(await passwords.verify(input), { verified: false, subject: subjects[input.username] }, why);
    t.equal(hasher.jobs - jobs, 1, `${why}: one hash`);
  }
  const jobs = hasher.jobs;
  t.match(await passwords.verify({ username: 'ada', password }), { verified: true, subject });
  t.equal(hasher.jobs - jobs, 1, 'as does one that succeeds');
  t.same(await keysUnder(client, prefix), before, 'and none writes anything');
});

t.test('an unknown user takes as long as a wrong password', async (t) => {
  const { registration, passwords } = fresh();
  await registration.register({ username: 'ada', password });
  const times: Record<string, number[]> = { ada: [], grace: [] };
  for (let i = 0; i < 30; i++) {
    const username = i % 2 ? 'ada' : 'grace';
    const before = performance.now();
    await passwords.verify({ username, password: 'wrong' });
    times[username]!.push(performance.now() - before);
  }
  const [known, unknown] = [times['ada']!, times['grace']!].map((list) => list.sort((a, b) => a - b)[7]!);
  const ratio = unknown! / known!;
  t.ok(ratio > 0.5 && ratio < 2, `ratio ${ratio}`);
});

t.test('the password of a known user can be checked and a new one prepared', async (t) => {
  const { registration, passwords } = fresh({ minimumLength: 20 });
  const { subject } = await registration.register({ username: 'ada', password });
  const checked = await matched(passwords.verifySubject(subject, password));
  t.match(checked, { subject, username: 'ada' });
  t.strictSame(await passwords.verifySubject(subject, 'wrong'), { verified: false, subject });
  t.strictSame(await passwords.verifySubject('nobody', password), { verified: false, subject: undefined });

  const next = await passwords.hashNew('another fine passphrase', 'ada');
  t.equal(await hasher.verify(next, 'another fine passphrase'), true);
  t.strictSame(await passwords.verifySubject(subject, password), checked, 'which stores nothing');
  await t.rejects(
    passwords.hashNew('eighteen chars 4x!', 'ada'),
    { code: 'password_not_allowed', reason: 'too_short' },
    'by the same policy',
  );
});

t.test('a password that was composed logs in taken apart, and the other way round', async (t) => {
  const { registration, passwords } = fresh();
  await registration.register({ username: 'ada', password: 'crème brûlée à l’été' });
  t.match(await passwords.verify({ username: 'ada', password: 'crème brûlée à l’été'.normalize('NFD') }), {
    verified: true,
  });
  t.match(await passwords.verify({ username: 'ada', password: 'Crème brûlée à l’été' }), { verified: false });
  t.match(await passwords.verify({ username: 'ada', password: 'crème brûlée à l’été ' }), { verified: false });
});

t.test('parameters raised later rehash at the next login', async (t) => {
  const { keys, registration } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Passwords(client, keys, stronger);
  const record = await client.hgetall(keys.user(subject));

  t.strictSame(await raised.verify({ username: 'ada', password: 'wrong' }), { verified: false, subject });
  t.equal(await client.hget(keys.user(subject), 'password'), record['password'], 'not at one that fails');
  const verified = await matched(raised.verify({ username: 'ada', password }));
  t.match(verified.credential, /\$m=19456,t=3,p=1\$/);
  t.same(
    await client.hgetall(keys.user(subject)),
    { ...record, password: verified.credential },
    'and nothing else changes',
  );
  const jobs = stronger.jobs;
  t.same(await raised.verify({ username: 'ada', password }), verified);
  t.equal(stronger.jobs - jobs, 1, 'once');
});

t.test('a rehash never undoes or survives a change of the password', async (t) => {
  const { keys, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  const connection = interrupted();
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Passwords(connection, keys, stronger);
  const key = keys.user(subject);
  const old = (await client.hget(key, 'password'))!;

  const rehashedElsewhere = await stronger.hash(password);
  connection.before = () => client.hset(key, 'password', rehashedElsewhere);
  t.equal(
    (await matched(raised.verify({ username: 'ada', password }))).credential,
    rehashedElsewhere,
    'two logins at once both stand',
  );

  await client.hset(key, 'password', old);
  const changed = await passwords.hashNew('another fine passphrase', 'ada');
  connection.before = () => client.hset(key, 'password', changed);
  t.strictSame(
    await raised.verify({ username: 'ada', password }),
    { verified: false, subject },
    'the old password is no use any more',
  );
  t.equal(await client.hget(key, 'password'), changed);

  await client.hset(key, 'password', old);
  connection.before = () => client.del(key);
  t.strictSame(
    await raised.verify({ username: 'ada', password }),
    { verified: false, subject },
    'nor is that of a user who is gone',
  );
  t.equal(await client.exists(key), 0);
});

t.test('a rehash that is not possible now does not fail the login', async (t) => {
  const { keys, registration } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  class BusyForRehash extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new BusyError());
    }
  }
  const raised = new Passwords(client, keys, new BusyForRehash({ timeCost: 3 }));
  const credential = await client.hget(keys.user(subject), 'password');
  t.strictSame(await raised.verify({ username: 'ada', password }), {
    verified: true,
    subject,
    username: 'ada',
    credential,
  });

  class Broken extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new RangeError('a defect'));
    }
  }
  const broken = new Passwords(client, keys, new Broken({ timeCost: 3 }));
  await t.rejects(broken.verify({ username: 'ada', password }), RangeError, 'but a defect is not hidden');
});

t.test('a stored hash that is none is a fault, not a wrong password', async (t) => {
  const { keys, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  await client.hset(keys.user(subject), 'password', 'garbage');
  await t.rejects(passwords.verify({ username: 'ada', password }), TypeError);
});

t.test('when too many log in at once the rest are told to come back', async (t) => {
  const { keys, registration } = fresh();
  await registration.register({ username: 'ada', password });
  const small = new Passwords(client, keys, new PasswordHasher({ concurrency: 1, queueLimit: 2 }));
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => small.verify({ username: 'ada', password })),
  );
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
  for (const result of results)
    if (result.status === 'rejected') t.match(result.reason, { code: 'unavailable', retryAfterSeconds: 2 });
});

t.test('a login whose client has gone is dropped', async (t) => {
  const { registration, passwords } = fresh();
  const signal = AbortSignal.abort(new Error('gone'));
  await t.rejects(passwords.verify({ username: 'ada', password, signal }), { message: 'gone' });
  await t.rejects(registration.register({ username: 'ada', password, signal }), { message: 'gone' });
  await t.rejects(passwords.verifySubject('ada', password, signal), { message: 'gone' });
  await t.rejects(passwords.hashNew(password, 'ada', signal), { message: 'gone' });
});

t.test('a defect in what decides is not taken for a refusal', async (t) => {
  const { passwords } = fresh();
  await t.rejects(passwords.verify({ username: undefined as unknown as string, password }), TypeError);
});

t.test('a Redis that does not answer is a fault, never a verdict', async (t) => {
  const gone = redis.client({ lazyConnect: true, enableOfflineQueue: false });
  const { directory, registration, passwords } = fresh({ connection: gone });
  const unavailable = { code: 'unavailable' };
  await t.rejects(passwords.verify({ username: 'ada', password }), unavailable);
  await t.rejects(registration.register({ username: 'ada', password }), unavailable);
  await t.rejects(passwords.verifySubject('ada', password), unavailable);
  await t.rejects(directory.get('ada'), unavailable);
});
