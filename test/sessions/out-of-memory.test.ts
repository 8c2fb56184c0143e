import t from 'tap';
import type { Rotation } from '../../src/sessions/session.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { newSubject, pairOf, storeOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();
const s = storeOn(client);

/** Runs `during` while Redis refuses commands that need memory. */
async function whileFull(during: () => Promise<unknown>) {
  await client.config('SET', 'maxmemory', 1);
  try {
    await during();
  } finally {
    await client.config('SET', 'maxmemory', 0);
  }
}

/** Dumps the value of every key, by its name. */
async function dumpAll() {
  const names = await s.all();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await client.dump(s.prefix + name)])));
}

t.test('a login is rejected and changes nothing while Redis is out of memory', async (t) => {
  const one = storeOn(client, { prefix: s.prefix, sessionsPerUser: 1 });
  const subject = newSubject();
  const { pair } = await one.login(subject);
  const before = await dumpAll();
  await whileFull(async () => {
    await t.rejects(one.login(subject), { code: 'unavailable' }, 'a login that would evict a session');
    await t.rejects(
      s.login(subject, { supersedes: pair.refresh.sessionId }),
      { code: 'unavailable' },
      'a login that would supersede a session',
    );
    await t.rejects(s.login(), { code: 'unavailable' });
  });
  t.same(await dumpAll(), before);
});

t.test('a refresh succeeds completely while Redis is out of memory', async (t) => {
  const { pair: first } = await s.login();
  const [, later] = (await s.rotations((await s.login()).pair, 1)) as [TokenPair, TokenPair];
  for (const { refresh } of [first, later]) {
    let rotation: Rotation | undefined;
    await whileFull(async () => (rotation = await s.rotate(refresh)));
    const { pair, outcome, principal } = pairOf(rotation!);
    t.equal(outcome, 'rotated');
    t.match(await s.stored(refresh), {
      refresh: pair.refresh.digest,
      access: pair.access.digest,
      generation: `${pair.refresh.generation}`,
    });
    t.same(await s.use(pair), principal);
    t.ok((await s.members(principal.subject))[`access:${pair.access.digest}`]);
    t.same(await findKeysWithoutExpiry(client, s.prefix), []);
  }
});

t.test('a repeated refresh is answered completely or not at all while Redis is out of memory', async (t) => {
  const { pair: first } = await s.login();
  const { pair } = pairOf(await s.rotate(first.refresh));
  const before = await dumpAll();
  await whileFull(async () => {
    t.equal((await s.rotate(first.refresh)).outcome, 'retried', 'a retry only reads');
    await t.rejects(s.rotate(pair.refresh), { code: 'unavailable' });
    t.ok(await s.store.authenticate(pair.access.token), 'the access token works');
    await s.store.close();
  });
  t.same(await dumpAll(), before);
  t.match(s.faults, [{ code: 'unavailable' }], 'the failed confirmation is reported');
  await s.use(pair);
  t.ok((await s.stored(pair.refresh)).confirmedAt, 'the next use confirms the pair');
});

t.test('every kind of logout and a password change succeed while Redis is out of memory', async (t) => {
  const subject = newSubject();
  await client.hset(s.keys.user(subject), 'password', 'phc-1');
  const logins = await Promise.all(Array.from({ length: 6 }, () => s.login(subject)));
  const pairs = logins.map(({ pair }) => pair);
  const [a, b, c, d] = pairs as [TokenPair, TokenPair, TokenPair, TokenPair];
  const [, spentBy] = (await s.rotations(c, 1)) as [TokenPair, TokenPair];
  await whileFull(async () => {
    t.equal(await s.store.revoke(subject, a.refresh.sessionId, 'revoked'), true);
    t.ok(await s.store.revokeByToken(b.refresh, 'logged_out'));
    t.equal((await s.rotate(c.refresh)).outcome, 'reused');
    await s.store.revokeAll(subject, { reason: 'logged_out_elsewhere', own: { sessionId: d.refresh.sessionId } });
    await s.store.revokeAll(subject, {
      reason: 'password_changed',
      credential: { verified: 'phc-1', replacement: 'phc-2' },
    });
    await s.store.revokeAll(subject, { reason: 'logged_out' });
    for (const pair of [...pairs, spentBy]) t.equal(await s.store.authenticate(pair.access.token), undefined);
  });
  const reasons = await Promise.all(pairs.map(({ refresh }) => client.get(s.endedKey(refresh))));
  t.same(reasons, [
    'revoked',
    'logged_out',
    'reused',
    'password_changed',
    'logged_out_elsewhere',
    'logged_out_elsewhere',
  ]);
  t.equal(await client.hget(s.keys.user(subject), 'password'), 'phc-2');
  t.notOk((await s.liveKeys()).some((key) => key.includes(a.refresh.sessionId)));
});
