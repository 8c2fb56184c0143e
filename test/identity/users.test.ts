import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { BusyError, PasswordHasher } from '../../src/identity/hasher.js';
import { PasswordNotAllowedError } from '../../src/identity/password.js';
import { InvalidUsernameError } from '../../src/identity/username.js';
import { claimLogin, confirmUser, createUser, UsernameTakenError, Users } from '../../src/identity/users.js';
import { Keys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';

/** Counts what it computes, for the tests that a failure costs what a success costs. */
class CountingHasher extends PasswordHasher {
  jobs = 0;

  override hash(...args: Parameters<PasswordHasher['hash']>) {
    this.jobs++;
    return super.hash(...args);
  }

  override verify(...args: Parameters<PasswordHasher['verify']>) {
    this.jobs++;
    return super.verify(...args);
  }
}

const password = 'correct horse battery staple';
const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const hasher = new CountingHasher({ queueLimit: 1000 });
const hash = await hasher.hash(password);

/** Users under a prefix of their own. */
function fresh(options: { client?: Redis; hasher?: PasswordHasher; minimumPasswordLength?: number } = {}) {
  const prefix = `${randomBytes(6).toString('hex')}:`;
  const keys = new Keys(prefix);
  const { client: connection = client, hasher: computing = hasher, ...rest } = options;
  return { prefix, keys, users: new Users(connection, keys, computing, rest) };
}

/** The three steps of a registration, one at a time, as a process would take them that may die after any. */
function byHand(keys: Keys, username: string, subject = randomBytes(16).toString('base64url')) {
  const user = keys.user(subject);
  const login = keys.login(username);
  return {
    subject,
    user,
    create: (pendingMs = 60_000) =>
      createUser(client, { keys: { user }, args: { username, password: hash, pendingMs } }),
    claim: (gone = '') => claimLogin(client, { keys: { login }, args: { subject, gone } }),
    confirm: () => confirmUser(client, { keys: { user }, args: {} }),
  };
}

/** A connection on which something happens before a command is sent: another process gets in between. */
class InterruptedRedis extends Redis {
  before: (command: string, key: string) => Promise<unknown> = () => Promise.resolve();

  override async evalsha(...args: unknown[]): Promise<unknown> {
    await this.before('evalsha', String(args[2]));
    return super.evalsha(...(args as Parameters<Redis['evalsha']>));
  }
}

function interrupted(): InterruptedRedis {
  const connection = new InterruptedRedis({ host: redis.host, port: redis.port });
  t.teardown(() => connection.disconnect());
  return connection;
}

const keysUnder = async (prefix: string) => (await client.keys(`${prefix}*`)).sort();

t.test('who registers can log in', async (t) => {
  const { keys, users, prefix } = fresh();
  const before = Date.now();
  const { subject, username } = await users.register({ username: ' Ada@Example.org', password });
  t.match(subject, /^[A-Za-z0-9_-]{22}$/);
  t.equal(username, 'ada@example.org');
  const verified = await users.verify({ username: 'ADA@example.org', password });
  t.match(verified, { subject, username, credential: /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/ });
  t.equal(verified?.credential, await client.hget(keys.user(subject), 'password'));

  const record = await client.hgetall(keys.user(subject));
  t.strictSame(Object.keys(record).sort(), ['createdAt', 'password', 'passwordChangedAt', 'username']);
  t.equal(record['createdAt'], record['passwordChangedAt']);
  const user = await users.get(subject);
  t.strictSame(user, { subject, username, createdAt: Number(record['createdAt']) });
  t.ok(user!.createdAt >= before - 1000 && user!.createdAt <= Date.now() + 1000, 'milliseconds since the epoch');

  t.strictSame(await keysUnder(prefix), [keys.login(username), keys.user(subject)].sort());
  t.equal(await client.get(keys.login(username)), subject);
  for (const key of await keysUnder(prefix)) t.equal(await client.pttl(key), -1, 'neither expires');
});

t.test('a name that somebody has is taken, in every spelling, before anything is hashed', async (t) => {
  const { users, prefix } = fresh();
  await users.register({ username: 'renée', password });
  const jobs = hasher.jobs;
  for (const username of ['renée', 'RENÉE', 'rene\u0301e', 'ｒｅｎéｅ']) {
    await t.rejects(users.register({ username, password }), { code: 'username_taken' });
  }
  t.equal(hasher.jobs, jobs);
  t.equal((await keysUnder(prefix)).length, 2);
});

t.test('a name or password that is not allowed registers nobody', async (t) => {
  const { users, prefix } = fresh();
  await t.rejects(users.register({ username: 'a b', password }), InvalidUsernameError);
  await t.rejects(users.register({ username: 'ada', password: 'too short' }), PasswordNotAllowedError);
  await t.rejects(users.register({ username: 'ada-of-example.org', password: 'ADA-of-example.org' }), {
    code: 'password_not_allowed',
    reason: 'is_username',
  });
  t.same(await keysUnder(prefix), []);
});

t.test('of 100 who register variants of one name at once exactly one succeeds, and can log in', async (t) => {
  const { keys, users, prefix } = fresh();
  const variants = ['renée', 'RENÉE', 'rene\u0301e', 'ｒｅｎéｅ', 'RENE\u0301E', ' Renée '];
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) =>
      users.register({ username: variants[i % variants.length]!, password: `${password} ${i}` }),
    ),
  );
  const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [{ i, ...result.value }] : []));
  t.equal(winners.length, 1);
  for (const result of results) if (result.status === 'rejected') t.ok(result.reason instanceof UsernameTakenError);
  const { i, subject } = winners[0]!;
  t.strictSame(await keysUnder(prefix), [keys.login('renée'), keys.user(subject)].sort());
  t.equal((await users.verify({ username: 'renée', password: `${password} ${i}` }))?.subject, subject);
});

t.test('a crash after any step leaves nothing behind that blocks the name', async (t) => {
  t.test('after the first, a record that expires', async (t) => {
    const { keys, users } = fresh();
    const dead = byHand(keys, 'ada');
    t.match(await dead.create(), { outcome: 'created' });
    const ttl = await client.pttl(dead.user);
    t.ok(ttl > 59_000 && ttl <= 60_000);
    t.ok(await users.register({ username: 'ada', password }), 'and the name is free at once');
  });

  t.test('after the second, a name that is free when the record has expired', async (t) => {
    const { keys, users } = fresh();
    const dead = byHand(keys, 'ada');
    await dead.create(150);
    t.match(await dead.claim(), { outcome: 'claimed' });
    await t.rejects(
      users.register({ username: 'ada', password }),
      UsernameTakenError,
      'the other might be about to confirm',
    );
    t.equal(await users.verify({ username: 'ada', password }), undefined, 'who is not confirmed does not log in');
    t.equal(await users.checkPassword(dead.subject, password), undefined);
    t.equal(await users.get(dead.subject), undefined);
    await sleep(200);
    const { subject } = await users.register({ username: 'ada', password });
    t.equal(await client.get(keys.login('ada')), subject);
    t.match(await dead.confirm(), { outcome: 'expired' }, 'and a process that was only slow cannot confirm');
    t.equal(await client.exists(dead.user), 0);
    t.equal((await users.verify({ username: 'ada', password }))?.subject, subject);
  });

  t.test('after the third, a user', async (t) => {
    const { keys, users } = fresh();
    const done = byHand(keys, 'ada');
    await done.create();
    await done.claim();
    t.match(await done.confirm(), { outcome: 'confirmed' });
    t.equal(await client.pttl(done.user), -1);
    t.equal((await users.verify({ username: 'ada', password }))?.subject, done.subject);
  });
});

t.test('a step that arrives twice does nothing the second time', async (t) => {
  const { keys, users } = fresh();
  const twice = byHand(keys, 'ada');
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
  t.equal((await users.get(twice.subject))?.username, 'ada');
});

t.test('two who find the same abandoned name do not both get it', async (t) => {
  const { keys } = fresh();
  const [dead, first, second] = [byHand(keys, 'ada'), byHand(keys, 'ada'), byHand(keys, 'ada')];
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
    const { keys, users } = fresh();
    const [one, two] = [byHand(keys, 'ada'), byHand(keys, 'ada')];
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
    const steps: Record<string, () => Promise<unknown>> = {
      '1': () => one.create(),
      a: () => two.create(),
      '2': async () => (alive.one = await claim(one)),
      b: async () => (alive.two = await claim(two)),
      '3': async () => (alive.one &&= (await one.confirm()).outcome === 'confirmed'),
      c: async () => (alive.two &&= (await two.confirm()).outcome === 'confirmed'),
      x: async () => (await client.pttl(one.user)) > 0 && client.del(one.user),
    };
    for (const step of order) await steps[step]!();
    const confirmed = [...(alive.one ? [one] : []), ...(alive.two ? [two] : [])];
    if (confirmed.length > 1) t.fail(`${order}: both`);
    const holder = await client.get(keys.login('ada'));
    if (confirmed[0] && confirmed[0].subject !== holder) t.fail(`${order}: confirmed without the name`);
    if (confirmed.length === 0) {
      // Nobody has it: then the name is free, at the latest when what is pending has expired.
      for (const { user } of [one, two]) if ((await client.pttl(user)) > 0) await client.del(user);
      if (!(await users.register({ username: 'ada', password }).catch(() => undefined))) t.fail(`${order}: blocked`);
    }
  }
  t.equal(all.size, 20 * 7 + 20);
});

t.test('whoever is overtaken after hashing leaves no record', async (t) => {
  const connection = interrupted();
  const { keys, users, prefix } = fresh({ client: connection });
  const other = byHand(keys, 'ada');
  connection.before = async (_, key) => {
    if (key !== keys.login('ada')) return;
    await other.create();
    await other.claim();
    await other.confirm();
  };
  await t.rejects(users.register({ username: 'ada', password }), UsernameTakenError);
  t.strictSame(await keysUnder(prefix), [keys.login('ada'), other.user].sort());
});

t.test('whoever finds the name abandoned only after hashing gets it', async (t) => {
  const connection = interrupted();
  const { keys, users } = fresh({ client: connection });
  connection.before = (_, key) => (key === keys.login('ada') ? byHand(keys, 'ada').claim() : Promise.resolve());
  const { subject } = await users.register({ username: 'ada', password });
  t.equal(await client.get(keys.login('ada')), subject);
});

t.test('a name that always goes to somebody else who is gone is given up, for now', async (t) => {
  const connection = interrupted();
  const { keys, users } = fresh({ client: connection });
  let claims = 0;
  connection.before = async (_, key) => {
    if (key !== keys.login('ada')) return;
    claims++;
    await client.set(key, byHand(keys, 'ada').subject);
  };
  await t.rejects(users.register({ username: 'ada', password }), UnavailableError);
  t.equal(claims, 5);
});

t.test('a registration that stalls until its record has expired fails', async (t) => {
  const connection = interrupted();
  const { keys, users } = fresh({ client: connection });
  let scripts = 0;
  connection.before = async (_, key) => {
    if (++scripts === 3) await client.pexpire(key, 0);
  };
  await t.rejects(users.register({ username: 'ada', password }), { code: 'unavailable' });
  t.equal(scripts, 3);
  connection.before = () => Promise.resolve();
  t.ok(await users.register({ username: 'ada', password }), 'and the name is free');
  t.ok(await client.get(keys.login('ada')));
});

t.test('a login that fails says nothing about why, and always costs one hash', async (t) => {
  const { keys, users, prefix } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  const disabled = await users.register({ username: 'disabled', password });
  await client.hset(keys.user(disabled.subject), 'disabledAt', 1_700_000_000_000);
  await client.hset(keys.user('federated'), { username: 'federated', createdAt: 1 });
  await client.set(keys.login('federated'), 'federated');
  await client.set(keys.login('abandoned'), 'nobody');
  await client.set(keys.login('astray'), subject);
  const before = await keysUnder(prefix);

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
    // verifyNothing verifies against a decoy, so each counts once.
    const jobs = hasher.jobs;
    t.equal(await users.verify(input), undefined, why);
    t.equal(hasher.jobs - jobs, 1, `${why}: one hash`);
  }
  const jobs = hasher.jobs;
  t.ok(await users.verify({ username: 'ada', password }));
  t.equal(hasher.jobs - jobs, 1, 'as does one that succeeds');
  t.same(await keysUnder(prefix), before, 'and none writes anything');
});

t.test('an unknown user takes as long as a wrong password', async (t) => {
  const { users } = fresh();
  await users.register({ username: 'ada', password });
  const times: Record<string, number[]> = { ada: [], grace: [] };
  for (let i = 0; i < 30; i++) {
    const username = i % 2 ? 'ada' : 'grace';
    const before = performance.now();
    await users.verify({ username, password: 'wrong' });
    times[username]!.push(performance.now() - before);
  }
  const [known, unknown] = [times['ada']!, times['grace']!].map((list) => list.sort((a, b) => a - b)[7]!);
  const ratio = unknown! / known!;
  t.ok(ratio > 0.5 && ratio < 2, `ratio ${ratio}`);
});

t.test('a disabled user is told apart only by those who may know', async (t) => {
  const { keys, users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  await client.hset(keys.user(subject), 'disabledAt', 1_700_000_000_000);
  t.match(await users.get(subject), { subject, username: 'ada', disabledAt: 1_700_000_000_000 });
  t.equal(await users.checkPassword(subject, password), undefined);
  t.equal(await users.get('nobody'), undefined);
});

t.test('the password of a known user can be checked and a new one prepared', async (t) => {
  const { users } = fresh({ minimumPasswordLength: 20 });
  const { subject } = await users.register({ username: 'ada', password });
  const checked = await users.checkPassword(subject, password);
  t.match(checked, { subject, username: 'ada' });
  t.equal(await users.checkPassword(subject, 'wrong'), undefined);
  t.equal(await users.checkPassword('nobody', password), undefined);

  const next = await users.newCredential('another fine passphrase', 'ada');
  t.equal(await hasher.verify(next, 'another fine passphrase'), true);
  t.equal((await users.checkPassword(subject, password))?.credential, checked?.credential, 'which stores nothing');
  await t.rejects(
    users.newCredential('eighteen chars 4x!', 'ada'),
    { code: 'password_not_allowed', reason: 'too_short' },
    'by the same policy',
  );
});

t.test('a password that was composed logs in taken apart, and the other way round', async (t) => {
  const { users } = fresh();
  await users.register({ username: 'ada', password: 'crème brûlée à l’été' });
  t.ok(await users.verify({ username: 'ada', password: 'crème brûlée à l’été'.normalize('NFD') }));
  t.notOk(await users.verify({ username: 'ada', password: 'Crème brûlée à l’été' }));
  t.notOk(await users.verify({ username: 'ada', password: 'crème brûlée à l’été ' }));
});

t.test('parameters raised later rehash at the next login', async (t) => {
  const { keys, users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Users(client, keys, stronger);
  const record = await client.hgetall(keys.user(subject));

  t.equal(await raised.verify({ username: 'ada', password: 'wrong' }), undefined);
  t.equal(await client.hget(keys.user(subject), 'password'), record['password'], 'not at one that fails');
  const verified = await raised.verify({ username: 'ada', password });
  t.match(verified?.credential, /\$m=19456,t=3,p=1\$/);
  t.same(
    await client.hgetall(keys.user(subject)),
    { ...record, password: verified?.credential },
    'and nothing else changes',
  );
  const jobs = stronger.jobs;
  t.same(await raised.verify({ username: 'ada', password }), verified);
  t.equal(stronger.jobs - jobs, 1, 'once');
});

t.test('a rehash never undoes or survives a change of the password', async (t) => {
  const { keys, users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  const connection = interrupted();
  const stronger = new CountingHasher({ timeCost: 3 });
  const raised = new Users(connection, keys, stronger);
  const key = keys.user(subject);
  const old = (await client.hget(key, 'password'))!;

  const rehashedElsewhere = await stronger.hash(password);
  connection.before = () => client.hset(key, 'password', rehashedElsewhere);
  t.equal(
    (await raised.verify({ username: 'ada', password }))?.credential,
    rehashedElsewhere,
    'two logins at once both stand',
  );

  await client.hset(key, 'password', old);
  const changed = await users.newCredential('another fine passphrase', 'ada');
  connection.before = () => client.hset(key, 'password', changed);
  t.equal(await raised.verify({ username: 'ada', password }), undefined, 'the old password is no use any more');
  t.equal(await client.hget(key, 'password'), changed);

  await client.hset(key, 'password', old);
  connection.before = () => client.del(key);
  t.equal(await raised.verify({ username: 'ada', password }), undefined, 'nor is that of a user who is gone');
  t.equal(await client.exists(key), 0);
});

t.test('a rehash that is not possible now does not fail the login', async (t) => {
  const { keys, users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  class BusyForRehash extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new BusyError());
    }
  }
  const raised = new Users(client, keys, new BusyForRehash({ timeCost: 3 }));
  const credential = await client.hget(keys.user(subject), 'password');
  t.strictSame(await raised.verify({ username: 'ada', password }), { subject, username: 'ada', credential });

  class Broken extends PasswordHasher {
    override hash(): Promise<string> {
      return Promise.reject(new RangeError('a defect'));
    }
  }
  const broken = new Users(client, keys, new Broken({ timeCost: 3 }));
  await t.rejects(broken.verify({ username: 'ada', password }), RangeError, 'but a defect is not hidden');
});

t.test('a stored hash that is none is a fault, not a wrong password', async (t) => {
  const { keys, users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  await client.hset(keys.user(subject), 'password', 'garbage');
  await t.rejects(users.verify({ username: 'ada', password }), TypeError);
});

t.test('when too many log in at once the rest are told to come back', async (t) => {
  const { keys, users } = fresh();
  await users.register({ username: 'ada', password });
  const small = new Users(client, keys, new PasswordHasher({ concurrency: 1, queueLimit: 2 }));
  const results = await Promise.allSettled(
    Array.from({ length: 10 }, () => small.verify({ username: 'ada', password })),
  );
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 3);
  for (const result of results)
    if (result.status === 'rejected') t.match(result.reason, { code: 'unavailable', retryAfterSeconds: 2 });
});

t.test('a login whose client has gone is dropped', async (t) => {
  const { users } = fresh();
  const signal = AbortSignal.abort(new Error('gone'));
  await t.rejects(users.verify({ username: 'ada', password, signal }), { message: 'gone' });
  await t.rejects(users.register({ username: 'ada', password, signal }), { message: 'gone' });
  await t.rejects(users.checkPassword('ada', password, signal), { message: 'gone' });
  await t.rejects(users.newCredential(password, 'ada', signal), { message: 'gone' });
});

t.test('a name of any characters is a key of its own', async (t) => {
  const { keys, users, prefix } = fresh();
  for (const username of ['{a3f0}', 'a:b', 'login:ada', '%41', '*', '😀'.repeat(254)]) {
    const { subject } = await users.register({ username, password });
    t.equal((await users.verify({ username, password }))?.subject, subject);
    t.equal(await client.get(keys.login(username)), subject);
  }
  t.equal((await keysUnder(prefix)).length, 12);
});

t.test('a defect in what decides is not taken for a refusal', async (t) => {
  const { users } = fresh();
  await t.rejects(users.verify({ username: undefined as unknown as string, password }), TypeError);
});

t.test('a Redis that does not answer is a fault, never a verdict', async (t) => {
  const gone = redis.client({ lazyConnect: true, enableOfflineQueue: false });
  const { users } = fresh({ client: gone });
  const unavailable = { code: 'unavailable' };
  await t.rejects(users.verify({ username: 'ada', password }), unavailable);
  await t.rejects(users.register({ username: 'ada', password }), unavailable);
  await t.rejects(users.checkPassword('ada', password), unavailable);
  await t.rejects(users.get('ada'), unavailable);
});
