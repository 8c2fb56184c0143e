import t from 'tap';
import { InvalidSessionDataError } from '../../src/sessions/errors.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { LIFETIMES, newSubject, ORIGIN, pairOf, storeOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

t.test('data is changed field by field, at once in the living access tokens, their times as they were', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject, {
    identity: { subject, methods: ['pwd'], data: { plan: 'x', seat: 1 } },
  });
  await client.pexpire(s.accessKey(pair), 300_001);
  const expiresAt = await client.call('PEXPIRETIME', s.accessKey(pair));
  t.same(await s.store.update(subject, principal.sessionId, { plan: null, cart: { items: [] } }), {
    seat: 1,
    cart: { items: [] },
  });
  t.strictSame(await s.store.authenticate(pair.access.token), { ...principal, data: { seat: 1, cart: { items: [] } } });
  t.equal(await client.call('PEXPIRETIME', s.accessKey(pair)), expiresAt, 'the expiry stays');
  t.same(await findKeysWithoutExpiry(client, s.prefix), []);
  t.match(await s.store.get(subject, principal.sessionId), { data: { seat: 1 }, device: ORIGIN.device, generation: 1 });
});

t.test('both access tokens of a rotation have the new data, and a pair that is unconfirmed stays so', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair: first, principal } = await s.login(subject);
  const { pair } = pairOf(await s.rotate(first.refresh));
  await s.store.update(subject, principal.sessionId, { a: 1 });
  t.ok((await client.get(s.accessKey(pair)))?.startsWith('{"unconfirmed":true,'));
  t.same((await s.store.authenticate(first.access.token))?.data, { a: 1 });
  t.same((await s.use(pair))?.data, { a: 1 });
  await s.backdate(pair.refresh, 60_000);
  t.same(pairOf(await s.rotate(pair.refresh)).principal.data, { a: 1 }, 'and so has the next');
});

t.test('an access token that has expired stays gone', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject);
  await client.del(s.accessKey(pair));
  await s.store.update(subject, principal.sessionId, { a: 1 });
  t.equal(await s.store.authenticate(pair.access.token), undefined);
});

t.test('of 64 patches at once none is lost', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const { pair, principal } = await s.login(subject);
  const names = Array.from({ length: 64 }, (_, i) => `f${i}`);
  await Promise.all(names.map((name) => s.store.update(subject, principal.sessionId, { [name]: true })));
  t.same(Object.keys((await s.store.authenticate(pair.access.token))!.data!).sort(), names.sort());
});

t.test(
  'a session of someone else, one that has ended, and one that ends meanwhile are not found and not made again',
  async (t) => {
    const s = storeOn(client);
    const subject = newSubject();
    const { principal } = await s.login(subject);
    const { sessionId } = principal;
    // Somebody else's sessions are in the same partition only by chance: put there by hand.
    const other = newSubject();
    await client.copy(s.keys.session(partition(s, subject), sessionId), s.keys.session(partition(s, other), sessionId));
    t.equal(await s.store.update(other, sessionId, { a: 1 }), undefined);
    t.equal(await s.store.get(other, sessionId), undefined);

    const updating = Promise.all(
      Array.from({ length: 20 }, (_, i) => s.store.update(subject, sessionId, { [`f${i}`]: 1 })),
    );
    await s.store.revoke(subject, sessionId, 'revoked');
    t.ok((await updating).includes(undefined));
    t.equal(await s.store.update(subject, sessionId, { a: 1 }), undefined);
    t.equal(await s.store.get(subject, sessionId), undefined);
    t.notOk((await s.all()).some((key) => key.startsWith(`{${partition(s, subject)}}:session:`)));
  },
);

t.test('what is too large is refused, at the beginning and by a patch, and changes nothing', async (t) => {
  const s = storeOn(client);
  const subject = newSubject();
  const large = { a: 'x'.repeat(3000) };
  await t.rejects(s.login(subject, { identity: { subject, methods: [], data: large } }), InvalidSessionDataError);
  t.same(await s.all(), []);
  const { principal } = await s.login(subject);
  await t.rejects(s.store.update(subject, principal.sessionId, large), InvalidSessionDataError);
  t.equal((await s.store.get(subject, principal.sessionId))?.data, undefined);
});

t.test('a session can have a shorter absolute lifetime of its own, never a longer one', async (t) => {
  const s = storeOn(client);
  const short = await s.login(newSubject(), { lifetimeMs: 60_013 });
  t.equal(short.refreshExpiresInMs, 60_013);
  t.equal(short.accessExpiresInMs, 60_013);
  t.ok((await client.pttl(s.sessionKey(short.pair.refresh))) <= 60_013);
  const { refreshExpiresInMs } = pairOf(await s.rotate(short.pair.refresh));
  t.ok(refreshExpiresInMs <= 60_013, 'a rotation does not go beyond it');
  const long = await s.login(newSubject(), { lifetimeMs: 10 * 365 * 86_400_000 });
  const { createdAt, endsAt } = await s.stored(long.pair.refresh);
  t.equal(Number(endsAt) - Number(createdAt), LIFETIMES.sessionLifetimeMs);
});

t.test('nobody proves who they are in the future', async (t) => {
  const s = storeOn(client);
  const { principal } = await s.login(newSubject(), { authenticatedAt: Date.now() + 3_600_000 });
  t.ok(principal.authenticatedAt <= Date.now() + 1000);
});

function partition(s: ReturnType<typeof storeOn>, subject: string): string {
  return /{([0-9a-f]{4})}/.exec(s.keys.sessions(subject))![1]!;
}
