import type { Redis } from 'ioredis';
import t from 'tap';
import { BusyError, PasswordHasher } from '../../src/identity/password-hasher.js';
import { Passwords } from '../../src/identity/passwords.js';
import { keysUnder } from '../support/audit.js';
import { PASSWORD } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { CountingHasher, InterruptedRedis, matched, usersOn } from './fixture.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const hasher = new CountingHasher({ queueLimit: 1000 });
const password = PASSWORD;

/** Users under a new key prefix. */
function fresh({ connection = client, ...options }: { connection?: Redis; minimumLength?: number } = {}) {
  return usersOn(connection, { hasher, ...options });
}

function interrupted(): InterruptedRedis {
  const connection = new InterruptedRedis({ host: redis.host, port: redis.port });
  t.teardown(() => connection.disconnect());
  return connection;
}

t.test('a failed login does not say why it failed and always costs one hash', async (t) => {
  const { keys, registration, passwords, prefix } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  const disabled = await registration.register({ username: 'disabled', password });
  await client.hset(keys.user(disabled.subject), 'disabledAt', 1_694_871_203_457);
  await client.hset(keys.user('federated'), { username: 'federated', createdAt: 1 });
  await client.set(keys.login('federated'), 'federated');
  await client.set(keys.login('abandoned'), 'nobody');
  await client.set(keys.login('astray'), subject);
  const before = await keysUnder(client, prefix);

  const subjects: Record<string, string> = { zoë: subject, disabled: disabled.subject, federated: 'federated' };
  const failures = {
    'wrong password': { username: 'zoë', password: `${password}.` },
    'unknown user': { username: 'grace', password },
    'disabled user': { username: 'disabled', password },
    'disabled user, wrong password': { username: 'disabled', password: 'wrong' },
    'user without a password': { username: 'federated', password },
    'name whose user is gone': { username: 'abandoned', password },
    'name of a user with another name': { username: 'astray', password },
    'invalid name': { username: 'a\u0000b', password },
    'invalid password': { username: 'zoë', password: 'x'.repeat(1025) },
    'malformed password': { username: 'zoë', password: '\ud800' },
    'empty password': { username: 'zoë', password: '' },
  };
  for (const [why, input] of Object.entries(failures)) {
    // verifyDecoy verifies against a decoy, so each counts once.
    const jobs = hasher.jobs;
    t.strictSame(await passwords.verify(input), { verified: false, subject: subjects[input.username] }, why);
    t.equal(hasher.jobs - jobs, 1, `${why}: one hash`);
  }
  const jobs = hasher.jobs;
  t.match(await passwords.verify({ username: 'zoë', password }), { verified: true, subject });
  t.equal(hasher.jobs - jobs, 1, 'a successful login costs one hash too');
  t.same(await keysUnder(client, prefix), before, 'no login writes anything');
});

t.test('an unknown user costs the same hash and the same Redis commands as a wrong password', async (t) => {
  const connection = redis.client();
  const { keys, registration, passwords } = fresh({ connection });
  const { subject } = await registration.register({ username: 'zoë', password });
  const sent: unknown[][] = [];
  const send = connection.sendCommand.bind(connection);
  connection.sendCommand = (command, stream) => {
    sent.push([command.name, ...command.args]);
    return send(command, stream);
  };
  const costOf = async (username: string) => {
    const jobs = hasher.jobs;
    sent.length = 0;
    t.match(await passwords.verify({ username, password: 'wrong' }), { verified: false });
    return { hashes: hasher.jobs - jobs, commands: [...sent] };
  };
  const fields = ['username', 'password', 'createdAt', 'disabledAt'];
  t.strictSame(await costOf('zoë'), {
    hashes: 1,
    commands: [
      ['get', keys.login('zoë')],
      ['hmget', keys.user(subject), ...fields],
    ],
  });
  const unknown = await costOf('grace');
  const [, someUser] = unknown.commands[1]!;
  t.match(someUser, /:user:[\w-]{22}$/, 'a record that does not exist');
  t.strictSame(unknown, {
    hashes: 1,
    commands: [
      ['get', keys.login('grace')],
      ['hmget', someUser, ...fields],
    ],
  });
});

t.test('a user’s current password can be verified and a new one hashed without storing it', async (t) => {
  const { registration, passwords } = fresh({ minimumLength: 20 });
  const { subject } = await registration.register({ username: 'zoë', password });
  const checked = await matched(passwords.verifySubject(subject, password));
  t.match(checked, { subject, username: 'zoë' });
  t.strictSame(await passwords.verifySubject(subject, 'wrong'), { verified: false, subject });
  t.strictSame(await passwords.verifySubject('nobody', password), { verified: false, subject: undefined });

  const next = await passwords.hashNew('another fine passphrase', 'zoë');
  t.equal(await hasher.verify(next, 'another fine passphrase'), true);
  t.strictSame(await passwords.verifySubject(subject, password), checked, 'hashNew stores nothing');
  await t.rejects(
    passwords.hashNew('eighteen chars 4x!', 'zoë'),
    { code: 'password_not_allowed', reason: 'too_short' },
    'hashNew applies the policy',
  );
});

t.test('composed and decomposed forms of a password are interchangeable at login', async (t) => {
  const { registration, passwords } = fresh();
  await registration.register({ username: 'zoë', password: 'crème brûlée à l’été' });
  t.match(await passwords.verify({ username: 'zoë', password: 'crème brûlée à l’été'.normalize('NFD') }), {
    verified: true,
  });
  t.match(await passwords.verify({ username: 'zoë', password: 'Crème brûlée à l’été' }), { verified: false });
  t.match(await passwords.verify({ username: 'zoë', password: 'crème brûlée à l’été ' }), { verified: false });
});

t.test('a successful login replaces a hash that has outdated parameters, once', async (t) => {
  const { keys, registration } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Passwords(client, keys, stronger);
  const record = await client.hgetall(keys.user(subject));

  t.strictSame(await raised.verify({ username: 'zoë', password: 'wrong' }), { verified: false, subject });
  t.equal(await client.hget(keys.user(subject), 'password'), record['password'], 'a failed login does not rehash');
  const verified = await matched(raised.verify({ username: 'zoë', password }));
  t.match(verified.credential, /\$m=19456,t=3,p=1\$/);
  t.same(
    await client.hgetall(keys.user(subject)),
    { ...record, password: verified.credential },
    'and nothing else changes',
  );
  const jobs = stronger.jobs;
  t.same(await raised.verify({ username: 'zoë', password }), verified);
  t.equal(stronger.jobs - jobs, 1, 'not at the second login');
});

t.test('a rehash never overwrites a hash that has been replaced or deleted meanwhile', async (t) => {
  const { keys, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  const connection = interrupted();
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Passwords(connection, keys, stronger);
  const key = keys.user(subject);
  const old = (await client.hget(key, 'password'))!;

  const rehashedElsewhere = await stronger.hash(password);
  connection.before = () => client.hset(key, 'password', rehashedElsewhere);
  t.equal(
    (await matched(raised.verify({ username: 'zoë', password }))).credential,
    rehashedElsewhere,
    'both of two simultaneous logins succeed',
  );

  await client.hset(key, 'password', old);
  const changed = await passwords.hashNew('another fine passphrase', 'zoë');
  connection.before = () => client.hset(key, 'password', changed);
  t.strictSame(
    await raised.verify({ username: 'zoë', password }),
    { verified: false, subject },
    'the old password is no longer valid',
  );
  t.equal(await client.hget(key, 'password'), changed);

  await client.hset(key, 'password', old);
  connection.before = () => client.del(key);
  t.strictSame(await raised.verify({ username: 'zoë', password }), { verified: false, subject }, 'the user is gone');
  t.equal(await client.exists(key), 0);
});

t.test('a login succeeds even if the hasher is too busy to rehash', async (t) => {
  const { keys, registration } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  class BusyForRehash extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new BusyError());
    }
  }
  const raised = new Passwords(client, keys, new BusyForRehash({ timeCost: 3 }));
  const credential = await client.hget(keys.user(subject), 'password');
  t.strictSame(await raised.verify({ username: 'zoë', password }), {
    verified: true,
    subject,
    username: 'zoë',
    credential,
  });

  class Broken extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new RangeError('a defect'));
    }
  }
  const broken = new Passwords(client, keys, new Broken({ timeCost: 3 }));
  await t.rejects(broken.verify({ username: 'zoë', password }), RangeError, 'an unexpected error is not hidden');
});

t.test('a login throws a TypeError if the stored password is not an argon2id hash', async (t) => {
  const { keys, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  await client.hset(keys.user(subject), 'password', 'garbage');
  await t.rejects(passwords.verify({ username: 'zoë', password }), TypeError);
});

t.test('logins beyond the queue of the hasher fail with a retry delay', async (t) => {
  const { keys, registration } = fresh();
  await registration.register({ username: 'zoë', password });
  const small = new Passwords(client, keys, new PasswordHasher({ concurrency: 1, queueLimit: 2 }));
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => small.verify({ username: 'zoë', password })),
  );
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
  for (const result of results)
    if (result.status === 'rejected') t.match(result.reason, { code: 'unavailable', retryAfterSeconds: 2 });
});

t.test('an aborted signal stops logins, registrations and password changes', async (t) => {
  const { registration, passwords } = fresh();
  const signal = AbortSignal.abort(new Error('gone'));
  await t.rejects(passwords.verify({ username: 'zoë', password, signal }), { message: 'gone' });
  await t.rejects(registration.register({ username: 'zoë', password, signal }), { message: 'gone' });
  await t.rejects(passwords.verifySubject('zoë', password, signal), { message: 'gone' });
  await t.rejects(passwords.hashNew(password, 'zoë', signal), { message: 'gone' });
});

t.test('an unexpected error while normalizing a username is not reported as a failed login', async (t) => {
  const { passwords } = fresh();
  await t.rejects(passwords.verify({ username: undefined as unknown as string, password }), TypeError);
});

t.test('every operation on users throws an UnavailableError when Redis does not answer', async (t) => {
  const gone = redis.client({ lazyConnect: true, enableOfflineQueue: false });
  const { directory, registration, passwords } = fresh({ connection: gone });
  const unavailable = { code: 'unavailable' };
  await t.rejects(passwords.verify({ username: 'zoë', password }), unavailable);
  await t.rejects(registration.register({ username: 'zoë', password }), unavailable);
  await t.rejects(passwords.verifySubject('zoë', password), unavailable);
  await t.rejects(directory.get('zoë'), unavailable);
});
