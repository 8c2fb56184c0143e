import t from 'tap';
import type { TokenPair } from '../../src/sessions/token.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { newSubject, pairOf, storeOn } from './fixture.js';

t.test('a server that is killed and restarted with its append-only file has every acknowledged write', async (t) => {
  const durable = await startRedis();
  t.teardown(() => durable.stop());
  const s = storeOn(durable.client({ maxRetriesPerRequest: null }));
  const subject = newSubject();
  await durable.client().hset(s.keys.user(subject), 'password', 'phc-1');

  for (let round = 0; round < 3; round++) {
    const rotated = new Map<string, TokenPair>();
    const revoked: TokenPair[] = [];
    let working = true;
    const worker = async () => {
      while (working) {
        const { pair } = await s.login(newSubject());
        const { pair: next } = pairOf(await s.rotate(pair.refresh));
        rotated.set(next.refresh.sessionId, next);
        if (rotated.size % 2 === 0) continue;
        await s.store.revokeByToken(next.refresh, 'logged_out');
        revoked.push(next);
        rotated.delete(next.refresh.sessionId);
      }
    };
    const workers = Array.from({ length: 8 }, () =>
      worker().catch((error: unknown) => t.match(error, { code: 'unavailable' })),
    );
    await until('enough was rotated and revoked', async () => rotated.size > 30 && revoked.length > 30);
    await durable.kill();
    working = false;
    const acknowledged = new Map(rotated);
    const ended = [...revoked];
    await durable.restart();
    await Promise.all(workers);

    t.comment(`${acknowledged.size} rotations, ${ended.length} revocations`);
    for (const pair of acknowledged.values()) {
      const stored = await s.stored(pair.refresh);
      // A revocation may have been written although its response was lost.
      if (!stored.refresh) t.equal(await durable.client().get(s.endedKey(pair.refresh)), 'logged_out');
      else if (stored.refresh !== pair.refresh.digest) t.fail('an acknowledged rotation was lost');
    }
    for (const pair of ended) {
      if (await s.store.authenticate(pair.access.token)) t.fail('a revoked session is alive again');
      t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
    }
    t.equal(await durable.client().hget(s.keys.user(subject), 'password'), 'phc-1');
    t.same(await findKeysWithoutExpiry(durable.client(), s.prefix), []);
  }
});
