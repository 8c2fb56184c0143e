import t from 'tap';
import { until } from '../../support/redis/waiting.js';
import { bearer, browser, PASSWORD, setCookies, startService } from '../../support/service.js';

const DEADLINE = 500;
const service = await startService({ redisTimeoutMs: DEADLINE });
t.teardown(() => service.close());
const { inject, redis, internal } = service;
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

async function allAreUnavailable(t: Tap, patience: number) {
  for (const request of requests) {
    const before = performance.now();
    const reply = await inject(request);
    const tookMs = performance.now() - before;
    t.equal(reply.statusCode, 503, `${request.method} ${request.url} never says 401`);
    t.match(reply.json(), { status: 503, code: 'unavailable' });
    t.match(reply.headers['retry-after'], /^[1-9]\d*$/);
    t.equal(reply.headers['cache-control'], 'no-store');
    t.same(setCookies(reply), [], 'nobody loses a cookie');
    t.ok(tookMs < patience, `${Math.round(tookMs)} ms`);
  }
  t.equal((await internal.inject('/livez')).statusCode, 200);
  const ready = await internal.inject('/readyz');
  t.equal(ready.statusCode, 503);
  t.equal(ready.json().code, 'unavailable');
}
type Tap = { equal: typeof t.equal; match: typeof t.match; same: typeof t.same; ok: typeof t.ok };

const recovers = () =>
  until('the service has its Redis again', async () => (await internal.inject('/readyz')).statusCode === 200);

t.test('every route replies 503 within the deadline while Redis does not answer', async (t) => {
  redis.pause();
  await allAreUnavailable(t, DEADLINE * 2);
  const nonsense = await inject({ method: 'GET', url: '/auth/session', headers: { authorization: 'Bearer nonsense' } });
  t.equal(nonsense.statusCode, 401, 'what needs no Redis to be refused is refused');
  const forged = await inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: 'nonsense' } });
  t.equal(forged.json().reason, 'invalid');
  redis.resume();
  await recovers();
});

t.test('every route replies 503 at once while Redis is gone, and nothing is lost when it returns', async (t) => {
  const survivor = await service.mint(subject);
  await redis.kill();
  await allAreUnavailable(t, DEADLINE);
  await redis.restart();
  await recovers();
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
