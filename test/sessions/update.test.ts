import t from 'tap';
import { partitionOf } from '../../src/redis/keys.js';
import { InvalidSessionDataError } from '../../src/sessions/errors.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { LIFETIMES, newSubject, ORIGIN, pairOf, storeOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

t.test('update changes data field by field in the session and its access tokens, and keeps their expiry', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject, {
    identity: { subject, methods: ['pwd'], data: { plan: 'x', seat: 1 } },
  });
  await client.pexpire(s.accessKey(pair), 300_001);
  const expiresAt = await s.expiresAt(s.accessKey(pair));
  t.same(await s.store.update(subject, principal.sessionId, { plan: null, cart: { items: [] } }), {
    seat: 1,
    cart: { items: [] },
  });
  t.strictSame(await s.store.authenticate(pair.access.token), { ...principal, data: { seat: 1, cart: { items: [] } } });
  t.equal(await s.expiresAt(s.accessKey(pair)), expiresAt, 'the expiry stays');
  t.same(await findKeysWithoutExpiry(client, s.prefix), []);
  t.match(await s.store.get(subject, principal.sessionId), { data: { seat: 1 }, device: ORIGIN.device, generation: 1 });
});

t.test('update changes both access tokens of a rotation and leaves an unconfirmed pair unconfirmed', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair: first, principal } = await s.login(subject);
  const { pair } = pairOf(await s.rotate(first.refresh));
  await s.store.update(subject, principal.sessionId, { a: 1 });
  t.ok((await client.get(s.accessKey(pair)))?.startsWith('{"unconfirmed":true,'));
  t.same((await s.store.authenticate(first.access.token))?.data, { a: 1 });
  t.same((await s.use(pair))?.data, { a: 1 });
  await s.backdate(pair.refresh, LIFETIMES.refreshGraceMs);
  t.same(pairOf(await s.rotate(pair.refresh)).principal.data, { a: 1 }, 'the next pair has the new data too');
});

t.test('update does not bring an expired access token back', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject);
  await client.del(s.accessKey(pair));
  await s.store.update(subject, principal.sessionId, { a: 1 });
  t.equal(await s.store.authenticate(pair.access.token), undefined);
});

t.test('64 concurrent updates all take effect', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject);
  const names = Array.from({ length: 64 }, (_, i) => `f${i}`);
  await Promise.all(names.map((name) => s.store.update(subject, principal.sessionId, { [name]: true })));
  t.same(Object.keys((await s.store.authenticate(pair.access.token))!.data!).sort(), names.sort());
});

t.test('update does not find a session of another subject or one that has ended, and creates none', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { principal } = await s.login(subject);
  const { sessionId } = principal;
  // Subjects share a partition only by chance, so the other session is written by hand.
  const other = newSubject();
  await client.copy(s.keys.session(partitionOf(subject), sessionId), s.keys.session(partitionOf(other), sessionId));
  t.equal(await s.store.update(other, sessionId, { a: 1 }), undefined);
  t.equal(await s.store.get(other, sessionId), undefined);

  const updating = Promise.all(
    Array.from({ length: 20 }, (_, i) => s.store.update(subject, sessionId, { [`f${i}`]: 1 })),
  );
  await s.store.revoke(subject, sessionId, 'revoked');
  t.ok((await updating).includes(undefined));
  t.equal(await s.store.update(subject, sessionId, { a: 1 }), undefined);
  t.equal(await s.store.get(subject, sessionId), undefined);
  t.notOk((await s.all()).some((key) => key.startsWith(`{${partitionOf(subject)}}:session:`)));
});

t.test('issue and update reject data that is too large and change nothing', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const large = { a: 'x'.repeat(3000) };
  await t.rejects(s.login(subject, { identity: { subject, methods: [], data: large } }), InvalidSessionDataError);
  t.same(await s.all(), []);
  const { principal } = await s.login(subject);
  await t.rejects(s.store.update(subject, principal.sessionId, large), InvalidSessionDataError);
  t.equal((await s.store.get(subject, principal.sessionId))?.data, undefined);
});

t.test('issue can shorten the absolute lifetime of a session but not lengthen it', async (t) => {
  const s = storeOn(client);
  const short = await s.login(newSubject(), { lifetimeMs: 600_013 });
  t.equal(short.refreshExpiresInMs, 600_013);
  t.equal(short.accessExpiresInMs, 600_013);
  t.ok((await client.pttl(s.sessionKey(short.pair.refresh))) <= 600_013);
  const { refreshExpiresInMs } = pairOf(await s.rotate(short.pair.refresh));
  t.ok(refreshExpiresInMs <= 600_013, 'a rotation does not extend it');
  const long = await s.login(newSubject(), { lifetimeMs: 10 * 365 * 86_400_000 });
  const { createdAt, endsAt } = await s.stored(long.pair.refresh);
  t.equal(Number(endsAt) - Number(createdAt), LIFETIMES.sessionLifetimeMs);
});

t.test('issue does not store a time of authentication in the future', async (t) => {
  const s = storeOn(client);
  const { principal } = await s.login(newSubject(), { authenticatedAt: Date.now() + 3_600_000 });
  t.ok(principal.authenticatedAt <= (await s.now()));
});
