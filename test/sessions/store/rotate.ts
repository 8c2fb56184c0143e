import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { LIFETIMES, namesOf, newSubject, ORIGIN, pairOf } from '../fixture.js';
import { ACCESS, GRACE, openStore, principalOf, REFRESH } from './support.js';

export async function testRotate(t: Test, client: RedisClient): Promise<void> {
  await t.test('rotate returns ended, with the reason if it is known, for a session that has ended', async (t) => {
    const s = await openStore(t, client);
    const { pair } = await s.login();
    await s.store.revokeByToken(pair.refresh, 'logged_out');
    t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
    t.same(
      await s.rotate(s.tokenKeys.deriveSuccessor(pair.refresh).refresh),
      { outcome: 'ended', reason: 'logged_out' },
      'every token of the session',
    );
    t.same(await s.rotate(s.tokenKeys.mint('0000').refresh), { outcome: 'ended', reason: 'unknown' });
    t.same(await s.all(), [s.endedName(pair.refresh)], 'nothing is written');
  });

  await t.test('the first pair of a session is never open, so its refresh token rotates at once', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    await s.tick();
    const rotated = pairOf(await s.rotate(first.refresh, '198.51.100.7'));
    const { pair } = rotated;
    t.equal(rotated.outcome, 'rotated');
    t.same(pair, s.tokenKeys.deriveSuccessor(first.refresh));
    t.match(rotated.principal, principalOf(principal.subject, pair));
    t.same(rotated.lastSource, ORIGIN);
    t.equal(rotated.principal.authenticatedAt, principal.authenticatedAt, 'a refresh does not count as authentication');
    t.notOk('unconfirmed' in rotated.principal);
    t.equal(rotated.accessExpiresInMs, ACCESS);
    t.ok(await s.canRemain(rotated.refreshExpiresInMs, REFRESH));
    t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));
    const stored = await s.stored(pair.refresh);
    t.match(stored, {
      generation: '2',
      refresh: pair.refresh.digest,
      access: pair.access.digest,
      previous: first.access.digest,
      address: '198.51.100.7',
    });
    t.notOk(stored.confirmedAt);
    await s.assertLifetime(t, s.accessKey(first), GRACE);
    await s.assertLifetime(t, s.accessKey(pair), ACCESS);
    await s.assertLifetime(t, s.sessionKey(pair.refresh), REFRESH);
    await s.assertLifetime(t, s.keys.sessions(principal.subject), REFRESH);
    const members = await s.members(principal.subject);
    t.equal(members[`access:${first.access.digest}`], Number(stored.rotatedAt) + GRACE);
    t.equal(members[`access:${pair.access.digest}`], rotated.principal.expiresAt);
    t.ok(await s.store.authenticate(first.access.token), 'requests in flight still pass');
    t.ok(await s.store.authenticate(pair.access.token));
    await s.assertConsistent(t);
  });

  await t.test(
    'the current token of a closed pair gives the next pair and deletes the access key before the previous one',
    async (t) => {
      const s = await openStore(t, client);
      const { subject, first, pair } = await s.closedSession();
      const rotation = pairOf(await s.rotate(pair.refresh));
      t.equal(rotation.outcome, 'rotated');
      t.same(rotation.pair, s.tokenKeys.deriveSuccessor(pair.refresh));
      t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair, rotation.pair));
      t.equal(await s.store.authenticate(first.access.token), undefined);
      t.notOk((await s.stored(pair.refresh)).confirmedAt, 'the new pair is unconfirmed');
      t.same(
        Object.keys(await s.members(subject)).sort(),
        [
          `access:${pair.access.digest}`,
          `access:${rotation.pair.access.digest}`,
          `session:${pair.refresh.sessionId}`,
        ].sort(),
      );
      await s.assertConsistent(t);
    },
  );

  await t.test(
    'a rotation after the access key has expired leaves no member of the session set without a key',
    async (t) => {
      const s = await openStore(t, client);
      const { subject, pair } = await s.closedSession();
      await client.del(s.accessKey(pair));
      await client.zrem(s.keys.sessions(subject), `access:${pair.access.digest}`);
      const rotation = pairOf(await s.rotate(pair.refresh));
      t.equal(rotation.outcome, 'rotated');
      t.same(
        Object.keys(await s.members(subject)).sort(),
        [`access:${rotation.pair.access.digest}`, `session:${pair.refresh.sessionId}`].sort(),
      );
      await s.assertConsistent(t);
    },
  );

  await t.test('the current token rotates if its pair was not confirmed within the retry window', async (t) => {
    const s = await openStore(t, client);
    const { pair: first } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs);
    t.equal((await s.rotate(pair.refresh)).outcome, 'rotated');
  });

  await t.test(
    'a token of a later generation repeats the rotations that a failover lost and gives the same tokens',
    async (t) => {
      const s = await openStore(t, client);
      const { subject, first, pair } = await s.closedSession();
      const lost = s.tokenKeys.deriveSuccessor(s.tokenKeys.deriveSuccessor(pair.refresh).refresh);
      const redone = pairOf(await s.rotate(lost.refresh, '198.51.100.7'));
      t.equal(redone.outcome, 'unchanged');
      t.same(redone.pair, lost);
      t.equal(redone.accessExpiresInMs, ACCESS);
      const stored = await s.stored(pair.refresh);
      t.match(stored, {
        generation: '4',
        refresh: lost.refresh.digest,
        access: lost.access.digest,
        previous: pair.access.digest,
        address: '198.51.100.7',
      });
      t.ok(await s.isRecent(Number(stored.confirmedAt)), 'the client has the pair, so it is confirmed');
      t.same(await s.all(), namesOf(subject, pair.refresh.sessionId, pair, lost));
      await s.assertLifetime(t, s.accessKey(pair), GRACE);
      await s.assertLifetime(t, s.accessKey(lost), ACCESS);
      t.notMatch(await client.get(s.accessKey(lost)), /unconfirmed/);
      t.match(await s.store.authenticate(lost.access.token), principalOf(subject, lost));
      t.equal(await s.store.authenticate(first.access.token), undefined);
      await s.assertConsistent(t);

      const between = s.tokenKeys.deriveSuccessor(pair.refresh);
      t.equal((await s.rotate(between.refresh)).outcome, 'retried', 'the parent is accepted during the grace period');
      await s.backdate(lost.refresh, GRACE);
      t.equal((await s.rotate(lost.refresh)).outcome, 'rotated');
      t.equal(
        (await s.rotate(pair.refresh)).outcome,
        'reused',
        'a token that was spent before the failover stays spent',
      );
    },
  );

  await t.test('a token of the current generation with another digest ends the session as reused', async (t) => {
    const s = await openStore(t, client);
    const { pair } = await s.closedSession();
    await client.hset(s.sessionKey(pair.refresh), 'refresh', 'x'.repeat(32));
    t.equal((await s.rotate(pair.refresh)).outcome, 'reused');
    t.same(await s.all(), [s.endedName(pair.refresh)]);
  });

  await t.test('rotate answers only the client that the session was issued to', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    const { pair } = await s.login(subject, { identity: { subject, methods: ['pwd'], client: 'app' } });
    const before = await s.stored(pair.refresh);
    t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'unknown' });
    t.same(await s.store.rotate(pair.refresh, { address: '', client: 'other' }), {
      outcome: 'ended',
      reason: 'unknown',
    });
    t.same(await s.stored(pair.refresh), before, 'a request of another client changes nothing');
    t.equal((await s.store.rotate(pair.refresh, { address: '', client: 'app' })).outcome, 'rotated');
    const { pair: ours } = await s.login();
    t.same(await s.store.rotate(ours.refresh, { address: '', client: 'app' }), {
      outcome: 'ended',
      reason: 'unknown',
    });
  });
}
