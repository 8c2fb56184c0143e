import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { StaleCredentialError } from '../../../src/sessions/errors.js';
import type { TokenPair } from '../../../src/sessions/token.js';
import { until } from '../../support/redis/waiting.js';
import { namesOf, newSubject, ORIGIN, pairOf, USERNAME } from '../fixture.js';
import { ACCESS, openStore, principalOf, REFRESH, SESSION, WEEK } from './support.js';

export async function testIssue(t: Test, client: RedisClient): Promise<void> {
  await t.test('issue writes a session, an access key and the user’s session set, each with its expiry', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const issued = await s.login(subject, {
      identity: { subject, username: USERNAME, methods: ['pwd'], client: 'app', scope: 'a b', data: { plan: 'x' } },
    });
    const { pair, principal } = issued;
    t.match(principal, { ...principalOf(subject, pair), client: 'app', scope: 'a b', data: { plan: 'x' } });
    t.ok(await s.isRecent(principal.authenticatedAt));
    t.equal(principal.expiresAt - principal.authenticatedAt, ACCESS);
    t.equal(issued.accessExpiresInMs, ACCESS);
    t.equal(issued.refreshExpiresInMs, REFRESH);
    t.same(issued.evicted, []);
    t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair));
    await s.assertLifetime(t, s.accessKey(pair), ACCESS);
    await s.assertLifetime(t, s.sessionKey(pair.refresh), REFRESH);
    await s.assertLifetime(t, s.keys.sessions(subject), REFRESH);
    const stored = await s.stored(pair.refresh);
    t.match(stored, {
      generation: '1',
      refresh: pair.refresh.digest,
      access: pair.access.digest,
      ...ORIGIN,
      client: 'app',
    });
    t.equal(Number(stored.endsAt) - Number(stored.createdAt), SESSION);
    t.notOk(stored.rotatedAt ?? stored.confirmedAt ?? stored.previous);
    const members = await s.members(subject);
    t.equal(members[`access:${pair.access.digest}`], principal.expiresAt);
    t.equal(members[`session:${pair.refresh.sessionId}`], Number(stored.createdAt) + REFRESH);
    const dump = JSON.stringify([await s.all(), stored, await client.get(s.accessKey(pair))]);
    for (const token of [pair.access.token, pair.refresh.token])
      t.notOk(dump.includes(token.slice(4, 30)), 'Redis holds digests, not tokens');
    await s.assertConsistent(t);
  });

  await t.test('issue stores the given time of authentication', async (t) => {
    const s = await openStore(t, client);
    const { pair, principal } = await s.login(newSubject(), { authenticatedAt: 1_700_000_000_123 });
    t.equal(principal.authenticatedAt, 1_700_000_000_123);
    t.equal((await s.use(pair))?.authenticatedAt, 1_700_000_000_123);
  });

  await t.test('issue takes the identity from a principal, but not its session id or expiry', async (t) => {
    const s = await openStore(t, client);
    const { principal } = await s.login();
    const next = await s.store.issue({ identity: principal, origin: ORIGIN });
    t.not(next.principal.sessionId, principal.sessionId);
    t.equal((await s.store.authenticate(next.pair.access.token))?.sessionId, next.pair.refresh.sessionId);
    t.equal((await s.store.list(principal.subject)).length, 2);
  });

  await t.test('issue rejects a credential that changed since it was verified, and a disabled subject', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    await t.rejects(s.login(subject, { credential: 'phc' }), StaleCredentialError, 'the user does not exist');
    await client.hset(s.keys.user(subject), 'password', 'phc');
    await t.rejects(s.login(subject, { credential: 'older' }), { code: 'stale_credential' });
    const user = s.keys.user(subject).slice(s.prefix.length);
    t.same(await s.all(), [user], 'nothing was written');
    await s.login(subject, { credential: 'phc' });
    await client.hset(s.keys.user(subject), 'disabledAt', '1');
    const before = await s.all();
    await t.rejects(s.login(subject, { credential: 'phc' }), StaleCredentialError);
    await t.rejects(s.login(subject), StaleCredentialError, 'a login without a credential is rejected too');
    t.same(await s.all(), before);
  });

  await t.test('issue ends the session that it supersedes if that belongs to the same subject', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const { pair: old } = await s.login(subject);
    const { pair } = await s.login(subject, { supersedes: old.refresh.sessionId });
    t.same(await s.all(), [s.endedName(old.refresh), ...namesOf(subject, pair.refresh.sessionId, pair)].sort());
    t.same(await s.rotate(old.refresh), { outcome: 'ended', reason: 'superseded' });
    t.equal(await s.store.authenticate(old.access.token), undefined);
    await s.assertConsistent(t);

    const { pair: foreign } = await s.login();
    await s.login(subject, { supersedes: foreign.refresh.sessionId });
    t.ok(await s.store.authenticate(foreign.access.token), 'the session of another subject lives on');
    await s.login(subject, { supersedes: 'unknown' });
  });

  await t.test('neither issue nor revoke ends a session of another subject in the same partition', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const { pair } = await s.login(subject);
    const { pair: foreign } = await s.login();
    // Subjects share a partition only by chance, so the other session is written by hand.
    const neighbour = s.keys.session(pair.refresh.partition, 'neighbour');
    await client.hset(neighbour, 'principal', JSON.stringify({ subject: 'neighbour' }));
    await client.pexpire(neighbour, 3_600_000);
    await s.login(subject, { supersedes: 'neighbour' });
    t.equal(await client.exists(neighbour), 1);
    t.equal(await s.store.revoke(subject, 'neighbour', 'revoked'), false);
    t.equal(await s.store.revoke(subject, foreign.refresh.sessionId, 'revoked'), false);
    t.ok(await s.store.authenticate(foreign.access.token));
  });

  await t.test('issue evicts the least recently renewed sessions of a user beyond the limit', async (t) => {
    const s = await openStore(t, client, { sessionsPerUser: 3 });
    const subject = newSubject();
    const logins = [];
    for (let i = 0; i < 3; i++) {
      const { pair } = await s.login(subject);
      await client.hset(s.sessionKey(pair.refresh), 'createdAt', 1000 + i);
      logins.push(pair);
    }
    const [oldest, second, third] = logins as [TokenPair, TokenPair, TokenPair];
    const { pair: renewed } = pairOf(await s.rotate(oldest.refresh));
    const { pair, evicted } = await s.login(subject);
    t.same(evicted, [second.refresh.sessionId], 'the oldest session stays because it was renewed');
    t.same(await s.rotate(second.refresh), { outcome: 'ended', reason: 'evicted' });
    await s.assertLifetime(t, s.endedKey(second.refresh), WEEK);
    t.equal(await s.store.authenticate(second.access.token), undefined);
    for (const living of [renewed, third, pair]) t.ok(await s.store.authenticate(living.access.token));

    const stricter = await openStore(t, client, { prefix: s.prefix, sessionsPerUser: 1 });
    const { pair: only, evicted: others } = await stricter.login(subject);
    t.equal(others.length, 3, 'a lowered limit applies from the next login on');
    t.equal((await s.store.list(subject)).length, 1);
    t.ok(await s.store.authenticate(only.access.token));
    await s.assertConsistent(t);
  });

  await t.test('expired sessions do not count towards the limit of a user', async (t) => {
    const short = { sessionsPerUser: 2, refreshLifetimeMs: 60, accessLifetimeMs: 50, refreshGraceMs: 5 };
    const s = await openStore(t, client, short);
    const subject = newSubject();
    await s.login(subject);
    await s.login(subject);
    await until('expired sessions leave no key behind', async () => (await s.all()).length === 0);
    t.same((await s.login(subject)).evicted, []);

    const other = newSubject();
    const long = await openStore(t, client, { sessionsPerUser: 2 });
    const { pair } = await long.login(other);
    await long.login(other);
    await client.del(long.sessionKey(pair.refresh), long.accessKey(pair));
    for (const member of [`session:${pair.refresh.sessionId}`, `access:${pair.access.digest}`])
      await client.zadd(long.keys.sessions(other), (await long.now()) - 1, member);
    t.same((await long.login(other)).evicted, [], 'the set outlives the expired session');
  });

  await t.test('issue rejects data and text that the Lua scripts could not decode', async (t) => {
    const s = await openStore(t, client);
    let data: Record<string, unknown> = {};
    for (let i = 0; i < 1100; i++) data = { data };
    await t.rejects(s.login(newSubject(), { identity: { subject: 'deep', methods: ['pwd'], data } }), {
      code: 'invalid_session_data',
    });
    await t.rejects(s.login(newSubject(), { identity: { subject: 'lone', methods: ['pwd'], scope: '\ud800' } }), {
      code: 'invalid_identity',
    });
    t.same(await s.all(), []);
  });
}
