import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import { until } from '../../support/redis/waiting.js';
import { pairOf } from '../fixture.js';
import { GRACE, openStore, REFRESH, SESSION } from './support.js';

export async function testLifetimes(t: Test, client: RedisClient): Promise<void> {
  await t.test('a rotation never extends the lifetime of the previous access token', async (t) => {
    const s = await openStore(t, client, { accessLifetimeMs: 600_007, refreshGraceMs: 900_011 });
    const { pair: first, principal } = await s.login();
    await client.pexpire(s.accessKey(first), 540_001);
    const expiresAt = await s.expiresAt(s.accessKey(first));
    await s.rotate(first.refresh);
    t.equal(await s.expiresAt(s.accessKey(first)), expiresAt);
    t.equal((await s.members(principal.subject))[`access:${first.access.digest}`], principal.expiresAt);
  });

  await t.test('no token outlives the absolute lifetime of its session', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const endsAt = (await s.now()) + 600_000;
    await client.hset(s.sessionKey(first.refresh), 'endsAt', endsAt);
    const rotated = pairOf(await s.rotate(first.refresh));
    t.equal(rotated.principal.expiresAt, endsAt, 'the access token ends with the session');
    t.ok(rotated.accessExpiresInMs <= 600_000 && rotated.refreshExpiresInMs <= 600_000);
    for (const key of [s.accessKey(rotated.pair), s.sessionKey(first.refresh), s.keys.sessions(principal.subject)]) {
      t.equal(await s.expiresAt(key), endsAt);
    }
    await client.del(s.accessKey(rotated.pair));
    const repeated = pairOf(await s.rotate(rotated.pair.refresh));
    t.equal(repeated.principal.expiresAt, endsAt, 'a repeated pair ends with the session');
    const lost = s.tokenKeys.deriveSuccessor(rotated.pair.refresh);
    const redone = pairOf(await s.rotate(lost.refresh));
    t.equal(redone.principal.expiresAt, endsAt, 'a pair that a failover lost ends with the session');
    t.equal((await s.store.list(principal.subject))[0]?.endsAt, endsAt);
  });

  await t.test('a session expires unless it is renewed within the idle timeout', async (t) => {
    const s = await openStore(t, client);
    const { pair: first, principal } = await s.login();
    const keys = [s.sessionKey(first.refresh), s.keys.sessions(principal.subject)];
    const { createdAt } = await s.stored(first.refresh);
    for (const key of keys) t.equal(await s.expiresAt(key), Number(createdAt) + REFRESH);
    await s.tick();
    await s.rotate(first.refresh);
    const { rotatedAt } = await s.stored(first.refresh);
    t.ok(Number(rotatedAt) > Number(createdAt));
    for (const key of keys)
      t.equal(await s.expiresAt(key), Number(rotatedAt) + REFRESH, 'a rotation restarts the idle timeout');

    const short = await openStore(t, client, { refreshLifetimeMs: 61, accessLifetimeMs: 53, refreshGraceMs: 1 });
    const { pair: idle } = await short.login();
    await until('the idle session leaves no key behind', async () => (await short.all()).length === 0);
    t.same(await short.rotate(idle.refresh), { outcome: 'ended', reason: 'unknown' });
  });

  await t.test('a session ends at its absolute lifetime however often it is renewed', async (t) => {
    const s = await openStore(t, client);
    let { pair } = await s.login();
    const session = s.sessionKey(pair.refresh);
    const set = s.keys.sessions((await s.store.authenticate(pair.access.token))!.subject);
    let { endsAt } = await s.stored(pair.refresh);
    t.equal(Number(endsAt), Number((await s.stored(pair.refresh)).createdAt) + SESSION);
    for (const age of [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.9999]) {
      endsAt = String((await s.now()) + Math.ceil((1 - age) * SESSION));
      await client.hset(session, 'endsAt', endsAt);
      await s.backdate(pair.refresh, GRACE);
      const rotation = pairOf(await s.rotate(pair.refresh));
      t.equal(rotation.outcome, 'rotated');
      ({ pair } = rotation);
      const stored = await s.stored(pair.refresh);
      t.equal(stored.endsAt, endsAt, 'a rotation does not move the end');
      const expiresAt = Math.min(Number(stored.rotatedAt) + REFRESH, Number(endsAt));
      for (const key of [session, set]) t.equal(await s.expiresAt(key), expiresAt, `at ${age} of its lifetime`);
      t.ok(rotation.principal.expiresAt <= Number(endsAt), 'the access token ends with the session');
      await s.use(pair);
    }

    const short = await openStore(t, client, {
      accessLifetimeMs: 97,
      refreshLifetimeMs: 10_007,
      sessionLifetimeMs: 307,
      refreshGraceMs: 1,
    });
    ({ pair } = await short.login());
    const shortEndsAt = await short.expiresAt(short.sessionKey(pair.refresh));
    let rotation = await short.rotate(pair.refresh);
    while ('pair' in rotation) {
      t.ok(rotation.principal.expiresAt <= shortEndsAt, 'the access token ends with the session');
      ({ pair } = rotation);
      await short.store.authenticate(pair.access.token);
      await short.store.close();
      await short.tick();
      const requestedAt = await short.now();
      rotation = await short.rotate(pair.refresh);
      if ('pair' in rotation && requestedAt > shortEndsAt) return t.fail('a rotation succeeded after the end');
    }
    t.same(rotation, { outcome: 'ended', reason: 'unknown' });
    t.ok((await short.now()) >= shortEndsAt, 'the session does not end before its absolute lifetime');
    await until('no key is left', async () => (await short.all()).length === 0);
  });
}
