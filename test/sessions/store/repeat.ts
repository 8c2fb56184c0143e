import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { LIFETIMES, namesOf, ORIGIN, pairOf } from '../fixture.js';
import { ACCESS, GRACE, openStore, principalOf, REFRESH, WEEK } from './support.js';

export async function testRepeat(t: Test, client: RedisClient): Promise<void> {
  await t.test('the current token of an unconfirmed pair gives the same pair and confirms it', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    const before = await s.stored(pair.refresh);
    await s.backdate(pair.refresh, 3_600_000);
    const repeated = pairOf(await s.rotate(pair.refresh));
    t.equal(repeated.outcome, 'unchanged');
    t.same(repeated.pair, pair);
    t.ok(await s.canRemain(repeated.accessExpiresInMs, ACCESS));
    t.ok(repeated.refreshExpiresInMs <= REFRESH);
    const { confirmedAt, rotatedAt: _, ...after } = await s.stored(pair.refresh);
    t.ok(await s.isRecent(Number(confirmedAt)));
    t.match(before, after);
    t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));

    await s.backdate(pair.refresh, GRACE - 240_000);
    const again = pairOf(await s.rotate(pair.refresh));
    t.equal(again.outcome, 'unchanged', 'the same pair again during the grace period');
    t.equal(
      Number((await s.stored(pair.refresh)).confirmedAt),
      Number(confirmedAt) - GRACE + 240_000,
      'a repetition does not lengthen the grace period',
    );
    await s.backdate(pair.refresh, 240_000);
    t.equal((await s.rotate(pair.refresh)).outcome, 'rotated');
  });

  await t.test('the current token of an open pair writes the access key again if that has expired', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    await client.del(s.accessKey(pair), s.accessKey(first));
    const gone = [pair, first].map(({ access }) => `access:${access.digest}`);
    await client.zrem(s.keys.sessions(principal.subject), ...gone);
    const repeated = pairOf(await s.rotate(pair.refresh));
    t.equal(repeated.outcome, 'unchanged');
    t.equal(repeated.accessExpiresInMs, ACCESS);
    t.notMatch(await client.get(s.accessKey(pair)), /unconfirmed/);
    t.match(await s.store.authenticate(pair.access.token), principalOf(principal.subject, pair));
    await s.assertLifetime(t, s.accessKey(pair), ACCESS);
    t.equal((await s.members(principal.subject))[`access:${pair.access.digest}`], repeated.principal.expiresAt);
    await s.assertConsistent(t);
  });

  await t.test('repeating an open pair renews an access key that has less than half its lifetime left', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    for (const presented of [pair.refresh, first.refresh]) {
      const enough = Math.ceil(ACCESS / 2) + 240_000;
      await client.pexpire(s.accessKey(pair), enough);
      const { accessExpiresInMs } = pairOf(await s.rotate(presented));
      t.ok(await s.canRemain(accessExpiresInMs, enough), 'more than half a lifetime is not renewed');

      await client.pexpire(s.accessKey(pair), Math.floor(ACCESS / 2));
      const renewed = pairOf(await s.rotate(presented));
      t.same(renewed.pair, pair);
      t.equal(renewed.accessExpiresInMs, ACCESS);
      await s.assertLifetime(t, s.accessKey(pair), ACCESS);
      t.match(await s.store.authenticate(pair.access.token), { expiresAt: renewed.principal.expiresAt });
      t.equal((await s.members(principal.subject))[`access:${pair.access.digest}`], renewed.principal.expiresAt);
      await s.assertConsistent(t);
    }
  });

  await t.test('the parent of the current token gives the current pair again while that is open', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh, '198.51.100.7'));
    const before = await s.stored(pair.refresh);
    await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs - 3_600_000);
    const retried = pairOf(await s.rotate(first.refresh, '203.0.113.9'));
    t.equal(retried.outcome, 'retried', 'the pair is unused, so it is open for longer than the grace period');
    t.same(retried.pair, pair);
    t.same(retried.lastSource, { ...ORIGIN, address: '198.51.100.7' });
    t.notOk((await s.stored(pair.refresh)).confirmedAt, 'the retry does not confirm the pair');
    t.match(await s.stored(pair.refresh), { generation: before.generation, address: '198.51.100.7' });
    t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, first, pair));

    await client.del(s.accessKey(pair));
    const later = pairOf(await s.rotate(first.refresh));
    t.equal(later.outcome, 'retried');
    t.equal(later.accessExpiresInMs, ACCESS, 'its access key is written again if it has expired');
    t.match(await client.get(s.accessKey(pair)), /^{"unconfirmed":true,/);
    await s.assertLifetime(t, s.accessKey(pair), ACCESS);

    await s.use(pair);
    await s.backdate(pair.refresh, GRACE - 240_000);
    t.equal(
      (await s.rotate(first.refresh)).outcome,
      'retried',
      'still accepted during the grace period after the first use',
    );
    await client.del(s.accessKey(pair));
    t.equal((await s.rotate(first.refresh)).outcome, 'retried');
    t.notMatch(await client.get(s.accessKey(pair)), /unconfirmed/);
    await s.assertConsistent(t);
  });

  await t.test(
    'the parent of the current token ends the session and deletes its keys once the current pair is closed',
    async (t) => {
      const s = await openStore(t, client);
      const confirmedOnce = await s.closedSession();
      t.same(await s.rotate(confirmedOnce.first.refresh), {
        outcome: 'reused',
        subject: confirmedOnce.subject,
        sessionId: confirmedOnce.pair.refresh.sessionId,
      });
      t.same(await s.all(), [s.endedName(confirmedOnce.pair.refresh)]);
      await s.assertLifetime(t, s.endedKey(confirmedOnce.pair.refresh), WEEK);
      for (const pair of [confirmedOnce.first, confirmedOnce.pair]) {
        t.equal(await s.store.authenticate(pair.access.token), undefined);
        t.same(
          await s.rotate(pair.refresh),
          { outcome: 'ended', reason: 'reused' },
          'the user and the thief get the same answer',
        );
      }

      const { pair: first } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh));
      await s.backdate(pair.refresh, LIFETIMES.refreshRetryWindowMs);
      t.equal(
        (await s.rotate(first.refresh)).outcome,
        'reused',
        'an unused pair closes at the end of the retry window',
      );
    },
  );

  await t.test(
    'with a grace period of 0, a rotation ends the old access token and the first use closes the new pair',
    async (t) => {
      const s = await openStore(t, client, { refreshGraceMs: 0 });
      const { pair: first, principal } = await s.login();
      const { pair } = pairOf(await s.rotate(first.refresh));
      t.equal(await s.store.authenticate(first.access.token), undefined);
      t.same(await s.all(), namesOf(principal.subject, pair.refresh.sessionId, pair));
      t.equal(
        (await s.rotate(first.refresh)).outcome,
        'retried',
        'the pair is unused, so the response may have been lost',
      );
      await s.use(pair);
      t.equal((await s.rotate(first.refresh)).outcome, 'reused');
      t.same(await s.all(), [s.endedName(pair.refresh)]);
    },
  );
}
