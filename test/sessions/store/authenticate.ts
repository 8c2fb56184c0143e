import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { TokenKeys } from '../../../src/sessions/token.js';
import { until } from '../../support/redis/waiting.js';
import { newSubject, pairOf } from '../fixture.js';
import { ACCESS, openStore, REFRESH } from './support.js';

export async function testAuthenticate(t: Test, client: RedisClient): Promise<void> {
  await t.test('authenticate returns the principal of the login until the access token expires', async (t) => {
    const s = await openStore(t, client);
    const { pair, principal } = await s.login(newSubject());
    t.same(await s.store.authenticate(pair.access.token), principal);
    t.equal(principal.expiresAt, await s.expiresAt(s.accessKey(pair)));
    await client.pexpire(s.accessKey(pair), 50);
    const expiresAt = await s.expiresAt(s.accessKey(pair));
    await until('it expires', async () => (await s.store.authenticate(pair.access.token)) === undefined);
    t.ok((await s.now()) >= expiresAt);
  });

  await t.test('authenticate returns undefined for a malformed or unknown token', async (t) => {
    const s = await openStore(t, client);
    const { pair } = await s.login();
    const unknown = new TokenKeys(['a key that has never been here, at all']).mint(pair.access.partition);
    for (const token of [
      '',
      'nonsense',
      pair.refresh.token,
      `${pair.access.token} `,
      pair.access.token.slice(0, -1),
      unknown.access.token,
    ]) {
      t.equal(await s.store.authenticate(token), undefined);
    }
  });

  await t.test('the first use of an access token confirms its rotation, once for many concurrent uses', async (t) => {
    const s = await openStore(t, client);
    const { pair: first } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    t.notOk((await s.stored(pair.refresh)).confirmedAt);
    t.match(await client.get(s.accessKey(pair)), /^{"unconfirmed":true,/);
    const principals = await Promise.all(Array.from({ length: 200 }, () => s.store.authenticate(pair.access.token)));
    for (const principal of principals) t.notOk('unconfirmed' in principal!, 'the principal does not show it');
    await s.use(pair);
    const { confirmedAt } = await s.stored(pair.refresh);
    t.ok(await s.isRecent(Number(confirmedAt)));
    await s.assertLifetime(t, s.accessKey(pair), ACCESS);
    await s.assertLifetime(t, s.sessionKey(pair.refresh), REFRESH);
    await s.tick();
    await s.use(pair);
    await s.use(first);
    t.equal((await s.stored(pair.refresh)).confirmedAt, confirmedAt, 'later uses do not change it');
    t.same(s.faults, []);
  });

  await t.test('a confirmation that comes too late changes nothing', async (t) => {
    const s = await openStore(t, client);
    const { first, pair } = await s.closedSession();
    const { pair: next } = pairOf(await s.rotate(pair.refresh));
    const unconfirmed = `{"unconfirmed":true,"sessionId":"${pair.refresh.sessionId}","subject":"x"}`;
    await client.set(s.accessKey(pair), unconfirmed, 'PX', 3_600_000);
    t.ok(await s.store.authenticate(pair.access.token));
    await s.store.close();
    t.notOk((await s.stored(next.refresh)).confirmedAt, 'the current pair is still unconfirmed');
    t.equal((await s.rotate(first.refresh)).outcome, 'reused');
    await client.set(s.accessKey(next), unconfirmed, 'PX', 3_600_000);
    t.ok(await s.store.authenticate(next.access.token));
    await s.store.close();
    t.equal(await client.exists(s.sessionKey(pair.refresh)), 0, 'the ended session is not created again');
  });
}
