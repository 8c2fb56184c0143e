import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { StaleCredentialError } from '../../../src/sessions/errors.js';
import { SessionStore } from '../../../src/sessions/store.js';
import type { TokenPair } from '../../../src/sessions/token.js';
import { interceptScripts, namesOf, newSubject, pairOf } from '../fixture.js';
import { ACCESS, type OpenStore, openStore, REFRESH, WEEK } from './support.js';

/** Logs a subject in three times; the first session was rotated. Returns the current pair of each. */
async function threeSessions(s: OpenStore, subject = newSubject()) {
  const { pair: rotated } = await s.closedSession(subject);
  const pairs: [TokenPair, TokenPair, TokenPair] = [
    rotated,
    (await s.login(subject)).pair,
    (await s.login(subject)).pair,
  ];
  return { subject, pairs };
}

const ids = (pairs: TokenPair[]) => pairs.map(({ refresh }) => refresh.sessionId).sort();

export async function testRevokeAll(t: Test, client: RedisClient): Promise<void> {
  await t.test('revokeAll leaves no key of the user except the user record and the reasons', async (t) => {
    const s = await openStore(t, client);
    const { subject, pairs } = await threeSessions(s);
    const { pair: neighbour } = await s.login();
    await client.hset(s.keys.user(subject), 'username', 'ada');
    t.same((await s.store.revokeAll(subject, { reason: 'logged_out' })).sort(), ids(pairs));
    const left = [...pairs.map(({ refresh }) => s.endedName(refresh)), s.keys.user(subject).slice(s.prefix.length)];
    const others = namesOf(
      (await s.store.authenticate(neighbour.access.token))!.subject,
      neighbour.refresh.sessionId,
      neighbour,
    );
    t.same(await s.all(), [...left, ...others].sort());
    for (const pair of pairs) {
      t.equal(await s.store.authenticate(pair.access.token), undefined);
      t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
      await s.assertLifetime(t, s.endedKey(pair.refresh), WEEK);
    }
    t.same(await s.store.revokeAll(subject, { reason: 'logged_out' }), [], 'the second call finds nothing to end');
    await s.assertConsistent(t);
  });

  await t.test('revokeAll spares the caller’s own session or ends it for another reason', async (t) => {
    const s = await openStore(t, client);
    const { subject, pairs } = await threeSessions(s);
    const [own, ...others] = pairs;
    const { pair: next } = pairOf(await s.rotate(own.refresh));
    t.same(
      (
        await s.store.revokeAll(subject, {
          reason: 'logged_out_elsewhere',
          own: { sessionId: own.refresh.sessionId },
        })
      ).sort(),
      ids(others),
    );
    t.ok(await s.store.authenticate(own.access.token), 'requests in flight still pass');
    t.ok(await s.store.authenticate(next.access.token));
    t.same(await s.liveKeys(), namesOf(subject, own.refresh.sessionId, own, next));
    await s.assertLifetime(t, s.keys.sessions(subject), REFRESH);

    const { pair: other } = await s.login(subject);
    const ended = await s.store.revokeAll(subject, {
      reason: 'logged_out_elsewhere',
      own: { sessionId: own.refresh.sessionId, reason: 'logged_out' },
    });
    t.same(ended.sort(), ids([own, other]));
    t.same(await s.rotate(next.refresh), { outcome: 'ended', reason: 'logged_out' });
    t.same(await s.rotate(other.refresh), { outcome: 'ended', reason: 'logged_out_elsewhere' });
    t.same(await s.liveKeys(), []);
    t.same(
      await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } }),
      [],
      'an own session that has ended spares no other',
    );
  });

  await t.test('revokeAll replaces the credential if the verified one is still stored', async (t) => {
    const s = await openStore(t, client);
    const { subject, pairs } = await threeSessions(s);
    const user = s.keys.user(subject);
    await client.hset(user, 'password', 'phc-1');
    const change = (verified: string, replacement: string) =>
      s.store.revokeAll(subject, { reason: 'password_changed', credential: { verified, replacement } });
    await t.rejects(change('phc-0', 'phc-2'), StaleCredentialError);
    t.match(await client.hgetall(user), { password: 'phc-1' });
    t.equal((await s.store.list(subject)).length, 3, 'nothing was changed');

    t.same((await change('phc-1', 'phc-2')).sort(), ids(pairs));
    const { password, passwordChangedAt } = await client.hgetall(user);
    t.equal(password, 'phc-2');
    t.ok(await s.isRecent(Number(passwordChangedAt)));
    t.same(await s.rotate(pairs[0].refresh), { outcome: 'ended', reason: 'password_changed' });
    await t.rejects(
      s.login(subject, { credential: 'phc-1' }),
      StaleCredentialError,
      'a login with the old credential is rejected',
    );
    t.same(await change('phc-1', 'phc-2'), [], 'a caller who lost the response can repeat the change');
    await t.rejects(change('phc-1', 'phc-3'), StaleCredentialError);
  });

  await t.test(
    'revokeAll ends the caller’s session last, so that a request that failed half-way can be repeated',
    async (t) => {
      const s = await openStore(t, client);
      const subject = newSubject();
      const logins = await Promise.all(Array.from({ length: 100 }, () => s.login(subject)));
      const own = logins[50]!.pair;
      let calls = 0;
      const breaking = interceptScripts(client, (run) =>
        calls++ === 0 ? run() : Promise.reject(new Error('Connection is closed.')),
      );
      const cut = new SessionStore({ lookups: client, scripts: breaking }, s.options);
      const request = {
        reason: 'logged_out_elsewhere',
        own: { sessionId: own.refresh.sessionId, reason: 'logged_out' },
      } as const;
      await t.rejects(cut.revokeAll(subject, request), { code: 'unavailable' });
      t.equal(calls, 2);
      t.ok((await s.store.list(subject)).length < 100, 'some sessions have ended');
      t.ok(await s.store.authenticate(own.access.token), 'the caller’s own session has not');
      t.ok((await s.store.revokeAll(subject, request)).includes(own.refresh.sessionId));
      t.same(await s.store.list(subject), []);
      t.same(await s.rotate(own.refresh), { outcome: 'ended', reason: 'logged_out' });
    },
  );

  await t.test('revokeAll does not report expired sessions as ended', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const { pair } = await s.login(subject);
    await client.zadd(s.keys.sessions(subject), (await s.now()) - 1, 'session:expired');
    t.same(await s.store.revokeAll(subject, { reason: 'revoked' }), [pair.refresh.sessionId]);
    t.same(
      (await s.store.listEndedSessions(subject)).map(({ sessionId }) => sessionId),
      [pair.refresh.sessionId],
    );
  });

  await t.test('revokeAll ends a thousand sessions in chunks', async (t) => {
    const s = await openStore(t, client, { sessionsPerUser: 2_000 });
    const subject = newSubject();
    await client.hset(s.keys.user(subject), 'password', 'phc-1');
    const logins = await Promise.all(Array.from({ length: 1_000 }, () => s.login(subject)));
    const own = logins[500]!.pair;
    const ended = await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } });
    t.equal(new Set(ended).size, 999);
    t.equal((await s.store.list(subject)).length, 1);
    t.ok(await s.store.authenticate(own.access.token));
    await Promise.all(Array.from({ length: 999 }, () => s.login(subject)));
    const all = await s.store.revokeAll(subject, {
      reason: 'revoked',
      credential: { verified: 'phc-1', replacement: 'phc-2' },
    });
    t.equal(new Set(all).size, 1_000);
    const left = await s.all();
    t.equal(left.filter((key) => key.includes(':ended:')).length, 1_999);
    t.equal(left.length, 2_000);
  });

  await t.test('revokeAll deletes access keys without a session, and none of them hides a session', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const { pair: own } = await s.login(subject);
    const { pair: hidden } = await s.login(subject);
    const set = s.keys.sessions(subject);
    await client.zadd(set, (await s.now()) + 2 * ACCESS, `session:${hidden.refresh.sessionId}`);
    const strays = Array.from({ length: 250 }, (_, i) => `stray${i}`.padEnd(32, '-'));
    for (const digest of strays) {
      await client.set(s.keys.access(own.access.partition, digest), '{}', 'PX', 3_600_000);
      await client.zadd(set, (await s.now()) + 3 * ACCESS, `access:${digest}`);
    }
    t.same(await s.store.revokeAll(subject, { reason: 'revoked', own: { sessionId: own.refresh.sessionId } }), [
      hidden.refresh.sessionId,
    ]);
    t.same(await s.all(), [s.endedName(hidden.refresh), ...namesOf(subject, own.refresh.sessionId, own)].sort());
    await client.del(s.sessionKey(own.refresh));
    t.same(await s.store.revokeAll(subject, { reason: 'revoked' }), [own.refresh.sessionId]);
    t.equal(
      await s.store.authenticate(own.access.token),
      undefined,
      'the access key is gone although its session was deleted by hand',
    );
  });
}
