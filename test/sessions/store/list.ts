import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { newSubject, ORIGIN, USERNAME } from '../fixture.js';
import { openStore, SESSION, WEEK } from './support.js';

export async function testList(t: Test, client: RedisClient): Promise<void> {
  await t.test('list returns a user’s sessions, the one that expires last first, without digests', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    t.same(await s.store.list(subject), []);
    const { pair: a } = await s.login(subject);
    await s.tick();
    const { pair: b } = await s.login(subject, { origin: { device: 'Safari', address: '2001:db8::1' } });
    const listed = await s.store.list(subject);
    t.same(
      listed.map(({ sessionId }) => sessionId),
      [b.refresh.sessionId, a.refresh.sessionId],
    );
    t.match(listed[0], {
      subject,
      username: USERNAME,
      methods: ['pwd'],
      device: 'Safari',
      address: '2001:db8::1',
      generation: 1,
    });
    t.equal(listed[0]!.renewedAt, listed[0]!.createdAt);
    t.equal(listed[0]!.endsAt, listed[0]!.createdAt + SESSION);
    await s.tick();
    await s.rotate(a.refresh, '203.0.113.5');
    const [first] = await s.store.list(subject);
    t.match(first, { sessionId: a.refresh.sessionId, generation: 2, address: '203.0.113.5', device: ORIGIN.device });
    t.ok(first!.renewedAt > first!.createdAt);
    t.notMatch(JSON.stringify(listed), new RegExp(`${a.refresh.digest}|${a.access.digest}`));
    await client.del(s.sessionKey(b.refresh));
    t.same(
      (await s.store.list(subject)).map(({ sessionId }) => sessionId),
      [a.refresh.sessionId],
      'a session whose key was deleted is left out',
    );
  });

  await t.test('list returns at most a thousand sessions', async (t) => {
    const s = await openStore(t, client, { sessionsPerUser: 2_000 });
    const subject = newSubject();
    await Promise.all(Array.from({ length: 1_003 }, () => s.login(subject)));
    t.equal(new Set((await s.store.list(subject)).map(({ sessionId }) => sessionId)).size, 1_000);
  });

  await t.test('listEndedSessions lists how sessions ended, the latest first, for seven days', async (t) => {
    const s = await openStore(t, client);
    const { subject, first, pair } = await s.closedSession();
    const { pair: other } = await s.login(subject, { origin: { device: 'a "browser"', address: '' } });
    t.same(await s.store.listEndedSessions(subject), []);
    await s.store.revoke(subject, other.refresh.sessionId, 'revoked');
    await s.rotate(first.refresh);
    const endings = await s.store.listEndedSessions(subject);
    t.match(endings, [
      { sessionId: pair.refresh.sessionId, reason: 'reused', device: ORIGIN.device },
      { sessionId: other.refresh.sessionId, reason: 'revoked', device: 'a "browser"' },
    ]);
    for (const { at } of endings) t.ok(await s.isRecent(at));
    await s.assertLifetime(t, s.keys.endings(subject), WEEK);
    t.same(await s.store.listEndedSessions(newSubject()), [], 'another subject has none');
    await s.assertConsistent(t);
  });

  await t.test('listEndedSessions keeps the latest ten endings of a user', async (t) => {
    const s = await openStore(t, client);
    const subject = newSubject();
    await Promise.all(Array.from({ length: 25 }, () => s.login(subject)));
    const ended = await s.store.revokeAll(subject, { reason: 'logged_out' });
    t.same(
      new Set((await s.store.listEndedSessions(subject)).map(({ sessionId }) => sessionId)),
      new Set(ended.slice(-10)),
    );
    await s.login(subject);
    await s.store.revokeAll(subject, { reason: 'revoked' });
    t.same(
      (await s.store.listEndedSessions(subject)).map(({ reason }) => reason),
      ['revoked', ...Array<string>(9).fill('logged_out')],
    );
  });
}
