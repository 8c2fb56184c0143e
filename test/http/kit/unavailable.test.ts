import t, { type Test } from 'tap';
import { until } from '../../support/redis/waiting.js';
import { bearer, browser, PASSWORD, setCookies, startService, type TestService } from '../../support/service.js';

/** Far more than a stalled machine needs for a reply, and far less than the longer deadline below. */
const PATIENCE_MS = 30_000;
const service = await startService({ redisTimeoutMs: 500 });
t.teardown(() => service.close());
/** Serves the same sessions. Waits for Redis so long that a reply that waited would exceed the patience. */
const patient = await startService(
  { redisTimeoutMs: 60_000, redisPrefix: service.config.redisPrefix },
  { redis: service.redis },
);
t.teardown(() => patient.close());
const { inject, redis } = service;
const { username, subject } = await service.register();
const tokens = await service.mint(subject);
const refreshToken = { refresh_token: tokens.pair.refresh.token };
const passwords = { current_password: PASSWORD, new_password: 'an entirely different passphrase' };

const requests = [
  { method: 'POST', url: '/auth/register', payload: { username: 'new', password: PASSWORD } },
  { method: 'POST', url: '/auth/login', payload: { username, password: PASSWORD } },
  { method: 'GET', url: '/auth/session', headers: bearer(tokens) },
  { method: 'GET', url: '/auth/session', headers: browser(tokens) },
  { method: 'POST', url: '/auth/refresh', payload: refreshToken },
  { method: 'POST', url: '/auth/refresh', headers: browser(tokens) },
  { method: 'GET', url: '/auth/continue?to=/account', headers: browser(tokens) },
  { method: 'POST', url: '/auth/logout', headers: browser(tokens) },
  { method: 'POST', url: '/auth/logout', payload: refreshToken },
  { method: 'POST', url: '/auth/logout', payload: { scope: 'session' }, headers: bearer(tokens) },
  { method: 'GET', url: '/auth/sessions', headers: bearer(tokens) },
  { method: 'DELETE', url: `/auth/sessions/${tokens.principal.sessionId}`, headers: bearer(tokens) },
  { method: 'POST', url: '/auth/password', payload: passwords, headers: bearer(tokens) },
  { method: 'GET', url: '/auth/verify', headers: bearer(tokens) },
] as const;

/** Asserts that every route of a service replies 503, sooner than the patience. */
async function assertAllUnavailable(t: Test, { inject, internal }: TestService) {
  for (const request of requests) {
    const before = performance.now();
    const reply = await inject(request);
    const tookMs = performance.now() - before;
    t.equal(reply.statusCode, 503, `${request.method} ${request.url} never says 401`);
    t.match(reply.json(), { status: 503, code: 'unavailable' });
    t.match(reply.headers['retry-after'], /^[1-9]\d*$/);
    t.equal(reply.headers['cache-control'], 'no-store');
    t.same(setCookies(reply), [], 'the browser keeps its cookies');
    t.ok(tookMs < PATIENCE_MS, `${Math.round(tookMs)} ms`);
  }
  t.equal((await internal.inject('/livez')).statusCode, 200);
  const ready = await internal.inject('/readyz');
  t.equal(ready.statusCode, 503);
  t.equal(ready.json().code, 'unavailable');
}

const untilRecovered = ({ internal }: TestService) =>
  until('the service reaches Redis again', async () => (await internal.inject('/readyz')).statusCode === 200);

t.test('every route replies 503 within the deadline while Redis does not answer', async (t) => {
  redis.pause();
  await assertAllUnavailable(t, service);
  const nonsense = await inject({ method: 'GET', url: '/auth/session', headers: { authorization: 'Bearer nonsense' } });
  t.equal(nonsense.statusCode, 401, 'a malformed token is refused without Redis');
  const forged = await inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: 'nonsense' } });
  t.equal(forged.json().reason, 'invalid');
  redis.resume();
  await untilRecovered(service);
});

t.test('every route replies 503 at once while Redis is gone, and nothing is lost when it returns', async (t) => {
  const survivor = await service.mint(subject);
  await redis.kill();
  await assertAllUnavailable(t, patient);
  await redis.restart();
  await untilRecovered(service);
  await untilRecovered(patient);
  t.equal((await inject({ method: 'GET', url: '/auth/session', headers: bearer(survivor) })).statusCode, 200);
});

t.test('a full Redis refuses logins but still allows logouts', async (t) => {
  const { client } = service;
  const own = await service.mint(subject);
  await client.config('SET', 'maxmemory', 1);
  const login = await inject({ method: 'POST', url: '/auth/login', payload: { username, password: PASSWORD } });
  t.equal(login.statusCode, 503);
  const logout = await inject({ method: 'POST', url: '/auth/logout', headers: bearer(own) });
  t.equal((await inject({ method: 'GET', url: '/auth/session', headers: bearer(own) })).statusCode, 401);
  t.equal(logout.statusCode, 204);
  await client.config('SET', 'maxmemory', 0);
});

t.test('a confirmation that fails in the background does not affect the reply', async (t) => {
  const { client, keys } = service;
  const first = await service.mint(subject);
  const { access_token } = (
    await inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: first.pair.refresh.token } })
  ).json();
  const { partition, sessionId } = first.pair.refresh;
  await client.rename(keys.session(partition, sessionId), 'aside');
  await client.set(keys.session(partition, sessionId), 'no hash');
  const headers = { authorization: `Bearer ${access_token}` };
  t.equal((await inject({ method: 'GET', url: '/auth/session', headers })).statusCode, 200);
  await client.rename('aside', keys.session(partition, sessionId));
  await until('the next use confirms it', async () => {
    t.equal((await inject({ method: 'GET', url: '/auth/session', headers })).statusCode, 200);
    return (await client.hexists(keys.session(partition, sessionId), 'confirmedAt')) === 1;
  });
});
