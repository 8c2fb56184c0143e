import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { pairOf } from '../fixture.js';
import { openStore } from './support.js';

export async function testInspect(t: Test, client: RedisClient): Promise<void> {
  await t.test('inspectRefreshToken tells whose session a token belongs to, and whether it was reused', async (t) => {
    const s = await openStore(t, client);
    const { subject, first, pair } = await s.closedSession();
    const { pair: next } = pairOf(await s.rotate(pair.refresh));
    t.match(await s.store.inspectRefreshToken(next.refresh), { subject, status: 'active' });
    t.match(await s.store.inspectRefreshToken(pair.refresh), { subject, status: 'active' });
    t.match(await s.store.inspectRefreshToken(first.refresh), { subject, status: 'reused' });
    await s.store.revoke(subject, pair.refresh.sessionId, 'revoked');
    t.equal(await s.store.inspectRefreshToken(next.refresh), undefined);
    t.match(s.store.parseRefreshToken(next.refresh.token), { digest: next.refresh.digest });
  });
}
