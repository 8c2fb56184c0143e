import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { newSubject, USERNAME } from '../fixture.js';
import { openStore, WEEK } from './support.js';

export async function testRevoke(t: Test, client: RedisClient): Promise<void> {
  await t.test('revoke ends one session of the subject and keeps the reason for seven days', async (t) => {
    const s = await openStore(t, client);
    const { subject, pair } = await s.closedSession();
    const { pair: other } = await s.login(subject);
    t.equal(
      await s.store.revoke(newSubject(), pair.refresh.sessionId, 'revoked'),
      false,
      'another subject cannot revoke it',
    );
    t.equal(await s.store.revoke(subject, other.refresh.sessionId, 'logged_out_elsewhere'), true);
    t.equal(await s.store.revoke(subject, other.refresh.sessionId, 'revoked'), false, 'it has already ended');
    t.same(await s.rotate(other.refresh), { outcome: 'ended', reason: 'logged_out_elsewhere' });
    t.equal(await s.store.authenticate(other.access.token), undefined);
    await s.assertLifetime(t, s.endedKey(other.refresh), WEEK);
    t.ok(await s.store.authenticate(pair.access.token));
    t.equal(await s.store.revoke(subject, pair.refresh.sessionId, 'revoked'), true);
    t.same(await s.all(), [s.endedName(pair.refresh), s.endedName(other.refresh)].sort());
    await s.assertConsistent(t);
  });

  await t.test('revokeByToken ends the session of a token of any generation and returns whose it was', async (t) => {
    const s = await openStore(t, client);
    const { subject, first, pair } = await s.closedSession();
    t.match(await s.store.revokeByToken(first.refresh, 'logged_out'), { subject, username: USERNAME });
    t.equal(await s.store.revokeByToken(pair.refresh, 'logged_out'), undefined);
    t.equal(await s.store.revokeByToken(s.tokenKeys.mint('0000').refresh, 'logged_out'), undefined);
    t.same(await s.all(), [s.endedName(pair.refresh)]);
  });
}
