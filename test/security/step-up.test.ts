import t, { type Test } from 'tap';
import type { AuthEvent } from '../../src/http/flows/audit.js';
import { requireRecentAuthentication } from '../../src/http/flows/guards.js';
import { readRedisTime } from '../../src/redis/clock.js';
import { timeInRedis } from '../support/redis/expiry.js';
import { bearer, browser, PASSWORD, setCookies, startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { post, get, inject, mint, store, client } = service;
const MINUTE = 60_000;

/** Mints a session whose user logged in `ms` ago. */
const mintAged = async (subject: string, ms: number) =>
  mint(subject, { authenticatedAt: (await readRedisTime(client)) - ms });
const remove = (id: string, headers: Record<string, string>) =>
  inject({ method: 'DELETE', url: `/auth/sessions/${id}`, headers });
const PASSWORDS = { current_password: PASSWORD, new_password: 'another good passphrase' };

function assertChallenge(
  t: Test,
  reply: { statusCode: number; headers: Record<string, unknown>; json: () => unknown },
) {
  t.equal(reply.statusCode, 401);
  t.match(reply.json(), { code: 'insufficient_user_authentication' });
  t.equal(
    reply.headers['www-authenticate'],
    'Bearer realm="latchkey", error="insufficient_user_authentication", max_age="900"',
  );
  t.equal(reply.headers['set-cookie'], undefined);
}

t.test('ending another device needs a recent login', async (t) => {
  const { subject } = await service.register();
  const [old, fresh, other] = [
    await mintAged(subject, 16 * MINUTE),
    await mintAged(subject, 14 * MINUTE),
    await mintAged(subject, 0),
  ];
  assertChallenge(t, await remove(other.principal.sessionId, bearer(old)));
  assertChallenge(t, await remove('no-such-session', bearer(old)));
  assertChallenge(t, await post('/auth/logout', { scope: 'others' }, bearer(old)));
  assertChallenge(t, await post('/auth/logout', { scope: 'others' }, browser(old)));
  t.equal((await store.list(subject)).length, 3, 'no session ended');
  t.equal((await remove(other.principal.sessionId, bearer(fresh))).statusCode, 204);
  t.equal((await post('/auth/logout', { scope: 'others' }, bearer(fresh))).statusCode, 204);
});

t.test('ending the other sessions by a refresh token needs a recent login', async (t) => {
  const { subject } = await service.register();
  const old = await mintAged(subject, 16 * MINUTE);
  assertChallenge(t, await post('/auth/logout', { scope: 'others', refresh_token: old.pair.refresh.token }));
});

t.test('changing the password needs a recent login as well as the current password', async (t) => {
  const { subject } = await service.register();
  assertChallenge(t, await post('/auth/password', PASSWORDS, bearer(await mintAged(subject, 16 * MINUTE))));
  t.equal((await post('/auth/password', PASSWORDS, bearer(await mintAged(subject, 14 * MINUTE)))).statusCode, 200);
});

t.test('logging out everywhere or on this device needs no recent login', async (t) => {
  const { subject } = await service.register();
  for (const scope of ['session', 'all']) {
    const old = await mintAged(subject, 60 * MINUTE);
    t.equal((await post('/auth/logout', { scope }, bearer(old))).statusCode, 204, scope);
  }
  const old = await mintAged(subject, 60 * MINUTE);
  t.equal((await remove(old.principal.sessionId, bearer(old))).statusCode, 204, 'ending the requesting session');
});

t.test('refreshing does not make a login recent; logging in again does, and replaces the session', async (t) => {
  const { subject, username } = await service.register();
  const old = await mintAged(subject, 16 * MINUTE);
  const { access_token } = (await post('/auth/refresh', { refresh_token: old.pair.refresh.token })).json();
  assertChallenge(t, await post('/auth/logout', { scope: 'others' }, { authorization: `Bearer ${access_token}` }));

  const again = await post('/auth/login', { username, password: PASSWORD }, browser(old));
  t.equal(again.statusCode, 200);
  const [access] = setCookies(again);
  t.not(access!.value, old.pair.access.token);
  t.equal((await get('/auth/session', bearer(old))).statusCode, 401, 'the old session has ended');
  t.equal(
    (await post('/auth/logout', { scope: 'others' }, { authorization: `Bearer ${access!.value}` })).statusCode,
    204,
  );
});

t.test('a password change counts as a recent login of this device', async (t) => {
  const { subject } = await service.register();
  const headers = bearer(await mintAged(subject, 14 * MINUTE));
  const { result: reply, from, to } = await timeInRedis(client, () => post('/auth/password', PASSWORDS, headers));
  const { authenticated_at } = reply.json().session;
  t.ok(authenticated_at >= Math.floor(from / 1000) && authenticated_at <= to / 1000);
});

t.test('a maximum login age of 0 requires no recent login', async (t) => {
  const lenient = await startService({ recentAuthenticationMs: 0 });
  t.teardown(() => lenient.close());
  const { subject } = await lenient.register();
  const old = await lenient.mint(subject, { authenticatedAt: 1 });
  t.equal((await lenient.post('/auth/logout', { scope: 'others' }, bearer(old))).statusCode, 204);
});

t.test('a login exactly at the limit is recent, one a millisecond older is refused and reported', async (t) => {
  const events: AuthEvent[] = [];
  const services = {
    recentAuthenticationMs: 1000,
    now: async () => 5000,
    report: (event: AuthEvent) => void events.push(event),
  };
  const requester = { subject: 's', sessionId: 'i', authenticatedAt: 4000 };
  await requireRecentAuthentication({ ip: '203.0.113.7' } as never, requester, services);
  await t.rejects(
    requireRecentAuthentication(
      { ip: '203.0.113.7' } as never,
      { ...requester, authenticatedAt: 3999 },
      services as never,
    ),
    {
      code: 'insufficient_user_authentication',
    },
  );
  t.same(events, [
    {
      event: 'step_up',
      outcome: 'failure',
      reason: 'insufficient_user_authentication',
      subject: 's',
      sessionId: 'i',
      address: '203.0.113.7',
    },
  ]);
});
