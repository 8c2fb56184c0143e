import t from 'tap';
import { loadConfig } from '../../../src/server/config/load.js';
import { HASH, KEY, problemsOf, SECRET } from './support.js';

t.test('no two clients, API keys, webhooks or providers may have the same name', async (t) => {
  t.match(problemsOf({ OAUTH_CLIENTS: `spa,spa:${HASH}` }), [
    'OAUTH_CLIENTS must not contain two clients with the same id',
  ]);
  t.match(problemsOf({ ADMIN_KEYS: `ops:${HASH}:users:read,ops:${'i'.repeat(43)}:users:read` }), [
    'ADMIN_KEYS must not contain two keys with the same name',
  ]);
  t.match(problemsOf({ WEBHOOKS: `https://a.example ${SECRET},https://A.example/ ${SECRET}` }), [
    'WEBHOOKS must not contain an endpoint twice',
  ]);
  t.same(problemsOf({ OIDC_PROVIDERS: 'a https://a.example id s,a https://b.example id s' }), [
    'OIDC_PROVIDERS must not contain two providers with the same name',
  ]);
});

t.test('TOKEN_KEYS must be set in production', async (t) => {
  t.strictSame(problemsOf({ NODE_ENV: 'production', PUBLIC_ORIGIN: 'https://a.example' }), [
    'TOKEN_KEYS must be set in production',
  ]);
});

t.test('a plain HTTP origin is refused in production and warned about elsewhere, except on localhost', async (t) => {
  const production = { NODE_ENV: 'production', TOKEN_KEYS: KEY };
  for (const origin of ['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:8080']) {
    t.same(loadConfig({ PUBLIC_ORIGIN: origin }).warnings, []);
    t.same(loadConfig({ ...production, PUBLIC_ORIGIN: origin }).warnings, []);
  }
  const PUBLIC_ORIGIN = 'https://a.example,http://b.example';
  t.match(loadConfig({ PUBLIC_ORIGIN, TRUST_PROXY: 'loopback' }).warnings, [/^PUBLIC_ORIGIN is http:/]);
  t.match(problemsOf({ ...production, PUBLIC_ORIGIN }), [/^PUBLIC_ORIGIN must be https:/]);
  t.match(loadConfig(production).warnings, [/^PUBLIC_ORIGIN is not set in production/]);
  t.match(loadConfig({ PUBLIC_ORIGIN: 'https://a.example' }).warnings, [
    /^TRUST_PROXY is not set although PUBLIC_ORIGIN is https:/,
  ]);
  t.same(loadConfig({ PUBLIC_ORIGIN: 'https://a.example', TRUST_PROXY: '10.0.0.1' }).warnings, []);
});

t.test('lifetimes that contradict each other and listeners that share a port are refused', async (t) => {
  const lifetimes = (ACCESS_TOKEN_LIFETIME: string, REFRESH_TOKEN_LIFETIME: string, SESSION_LIFETIME: string) =>
    problemsOf({ ACCESS_TOKEN_LIFETIME, REFRESH_TOKEN_LIFETIME, SESSION_LIFETIME });
  t.same(lifetimes('1h', '1h', '1h'), []);
  t.match(lifetimes('2h', '1h', '3h'), [/^ACCESS_TOKEN_LIFETIME must not be longer/]);
  t.match(lifetimes('1h', '3h', '2h'), [/^REFRESH_TOKEN_LIFETIME must not be longer/]);

  t.match(problemsOf({ REFRESH_GRACE: '15m' }), [/^REFRESH_GRACE must be shorter/]);
  t.same(problemsOf({ REFRESH_GRACE: '899s' }), []);
  t.match(problemsOf({ REFRESH_RETRY_WINDOW: '29s' }), [/^REFRESH_RETRY_WINDOW must not be shorter/]);
  t.match(
    problemsOf({ ACCESS_TOKEN_LIFETIME: 'x', REFRESH_GRACE: '15m' }),
    [/^ACCESS_TOKEN_LIFETIME must be a duration/],
    'only what could be read is compared',
  );

  t.match(loadConfig({ REFRESH_GRACE: '0s' }).warnings, [/^REFRESH_GRACE is below 5s/]);
  t.match(loadConfig({ REFRESH_GRACE: '4999ms' }).warnings, [/^REFRESH_GRACE is below 5s/]);

  t.match(problemsOf({ PORT: '3001' }), [/^INTERNAL_PORT must differ/]);
  t.same(problemsOf({ PORT: '3001', HOST: '192.0.2.1' }), []);
  t.same(problemsOf({ PORT: '0', INTERNAL_PORT: '0' }), []);
});
