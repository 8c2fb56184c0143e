import t, { type Test } from 'tap';
import type { AuthEvent } from '../../src/http/flows/audit.js';
import { bearer, browser, PASSWORD, setCookies, startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { post, get, inject, mint, store } = service;
const MINUTE = 60_000;

/** A session whose user logged in `ms` ago. */
const loggedIn = (subject: string, ms: number) => mint(subject, { authenticatedAt: Date.now() - ms });
const remove = (id: string, headers: Record<string, string>) =>
  inject({ method: 'DELETE', url: `/auth/sessions/${id}`, headers });
const PASSWORDS = { current_password: PASSWORD, new_password: 'another good passphrase' };

function isChallenge(t: Test, reply: { statusCode: number; headers: Record<string, unknown>; json: () => unknown }) {
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
    await loggedIn(subject, 16 * MINUTE),
    await loggedIn(subject, 14 * MINUTE),
    await loggedIn(subject, 0),
  ];
  isChallenge(t, await remove(other.principal.sessionId, bearer(old)));
  isChallenge(t, await remove('no-such-session', bearer(old)));
  isChallenge(t, await post('/auth/logout', { scope: 'others' }, bearer(old)));
  isChallenge(t, await post('/auth/logout', { scope: 'others' }, browser(old)));
  t.equal((await store.list(subject)).length, 3, 'nothing ended');
  t.equal((await remove(other.principal.sessionId, bearer(fresh))).statusCode, 204);
  t.equal((await post('/auth/logout', { scope: 'others' }, bearer(fresh))).statusCode, 204);
});

t.test('ending the other sessions by a refresh token needs a recent login', async (t) => {
  const { subject } = await service.register();
  const old = await loggedIn(subject, 16 * MINUTE);
  isChallenge(t, await post('/auth/logout', { scope: 'others', refresh_token: old.pair.refresh.token }));
});

t.test('changing the password needs a recent login as well as the current password', async (t) => {
  const { subject } = await service.register();
  isChallenge(t, await post('/auth/password', PASSWORDS, bearer(await loggedIn(subject, 16 * MINUTE))));
  t.equal((await post('/auth/password', PASSWORDS, bearer(await loggedIn(subject, 14 * MINUTE)))).statusCode, 200);
});

t.test('logging out everywhere or on this device needs no recent login', async (t) => {
  const { subject } = await service.register();
  for (const scope of ['session', 'all']) {
    const old = await loggedIn(subject, 60 * MINUTE);
    t.equal((await post('/auth/logout', { scope }, bearer(old))).statusCode, 204, scope);
  }
  const old = await loggedIn(subject, 60 * MINUTE);
  t.equal((await remove(old.principal.sessionId, bearer(old))).statusCode, 204, 'as one of the devices');
});

t.test('refreshing does not make a login recent; logging in again does, and replaces the session', async (t) => {
  const { subject, username } = await service.register();
  const old = await loggedIn(subject, 16 * MINUTE);
  const { access_token } = (await post('/auth/refresh', { refresh_token: old.pair.refresh.token })).json();
  isChallenge(t, await post('/auth/logout', { scope: 'others' }, { authorization: `Bearer ${access_token}` }));

  const again = await post('/auth/login', { username, password: PASSWORD }, browser(old));
  t.equal(again.statusCode, 200);
  const [access] = setCookies(again);
  t.not(access!.value, old.pair.access.token);
  t.equal((await get('/auth/session', bearer(old))).statusCode, 401, 'the old session is over');
  t.equal(
    (await post('/auth/logout', { scope: 'others' }, { authorization: `Bearer ${access!.value}` })).statusCode,
    204,
  );
});

t.test('a password change counts as a recent login of this device', async (t) => {
  const { subject } = await service.register();
  const reply = await post('/auth/password', PASSWORDS, bearer(await loggedIn(subject, 14 * MINUTE)));
  t.ok(Date.now() / 1000 - reply.json().session.authenticated_at < 60);
});

t.test('a maximum login age of 0 requires no recent login', async (t) => {
  const lenient = await startService({ recentAuthenticationMs: 0 });
  t.teardown(() => lenient.close());
  const { subject } = await lenient.register();
  const old = await lenient.mint(subject, { authenticatedAt: Date.now() - 1000 * MINUTE });
  t.equal((await lenient.post('/auth/logout', { scope: 'others' }, bearer(old))).statusCode, 204);
});

t.test('a login exactly at the limit is recent, one a millisecond older is refused and reported', async (t) => {
  const { requireRecentAuthentication } = await import('../../src/http/flows/guards.js');
  const events: AuthEvent[] = [];
  const services = {
    recentAuthenticationMs: 1000,
    now: async () => 5000,
    report: (event: AuthEvent) => void events.push(event),
  };
  const who = { subject: 's', sessionId: 'i', authenticatedAt: 4000 };
  await requireRecentAuthentication({ ip: '203.0.113.7' } as never, who, services);
  await t.rejects(
    requireRecentAuthentication({ ip: '203.0.113.7' } as never, { ...who, authenticatedAt: 3999 }, services as never),
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
