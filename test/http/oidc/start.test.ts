import { createHash } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import t from 'tap';
import { networkOf } from '../../../src/identity/network.js';
import { assertLifetime, timeInRedis } from '../../support/redis/expiry.js';
import { setCookies, startService } from '../../support/service.js';
import { formPoster } from '../pages/support.js';
import { client, cookieOf, get, keys, logIn, OIDC_COOKIE, oidcProviders, provider, service, start } from './support.js';

t.test('sends the browser to the provider with code, PKCE, state and nonce, bound to it for ten minutes', async (t) => {
  const { result: reply, ...span } = await timeInRedis(client, () => start('?to=/reports'));
  t.equal(reply.statusCode, 303);
  const url = new URL(reply.headers.location!);
  t.equal(url.origin, provider.issuer);
  const query = Object.fromEntries(url.searchParams);
  t.match(query, {
    response_type: 'code',
    client_id: 'latchkey',
    scope: 'openid',
    code_challenge_method: 'S256',
    redirect_uri: `${service.url}/auth/oidc/corp/callback`,
  });
  t.equal(query.max_age, String(90 * 86_400), 'max_age obliges the provider to state auth_time');
  for (const name of ['state', 'nonce', 'code_challenge']) t.match(query[name], /^[\w-]{43}$/, name);
  t.match(setCookies(reply), [
    { name: OIDC_COOKIE, attributes: { path: '/', 'max-age': '600', httponly: '', secure: '', samesite: 'Lax' } },
  ]);
  const key = keys.loginAttempt(createHash('sha256').update(query.state!).digest('base64url'));
  await assertLifetime(t, client, key, 600_000, span);
  t.notMatch(await client.get(key), query.state, 'Redis does not hold the state itself');
  t.equal(
    cookieOf(await start('', { cookie: cookieOf(reply) })),
    cookieOf(reply),
    'a second tab gets the same binding cookie',
  );
});

t.test('sends a cross-site request to the login page and begins no attempt', async (t) => {
  for (const query of ['?to=/reports', '?to=/reports&link=1']) {
    const reply = await start(query, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' });
    t.equal(reply.statusCode, 303);
    t.equal(reply.headers.location, '/login?to=%2Freports');
    t.same(setCookies(reply), []);
  }
  for (const site of ['same-origin', 'same-site', 'none']) {
    t.equal(new URL((await start('', { 'sec-fetch-site': site })).headers.location!).origin, provider.issuer, site);
  }
});

t.test('asks the provider for a new login when the user must log in again', async (t) => {
  const { body } = await get('/login?reason=insufficient_user_authentication&to=%2Faccount');
  t.match(body, 'href="/auth/oidc/corp?to&#61;%2Faccount&#38;prompt&#61;login"');
  t.match(
    (await get('/login?reason=insufficient_user_authentication')).body,
    'href="/auth/oidc/corp?prompt&#61;login"',
  );
  t.equal(new URL((await start('?prompt=login')).headers.location!).searchParams.get('prompt'), 'login');
  t.equal(new URL((await start()).headers.location!).searchParams.get('prompt'), null);
  t.equal((await start('?prompt=none')).statusCode, 400);
});

t.test('an unknown provider is a 404, and one that cannot be discovered is a 503', async (t) => {
  for (const path of ['', '/callback?state=x']) {
    t.equal((await get(`/auth/oidc/nobody${path}`)).statusCode, 404);
    for (const name of ['away', 'secure']) t.equal((await get(`/auth/oidc/${name}${path}`)).statusCode, 503);
  }
  t.equal((await start('', {}, 'foreign')).statusCode, 503, 'a provider that states another issuer');
  t.equal((await start('?to=//evil.example')).statusCode, 400);
  t.match((await get('/login')).body, 'href="/auth/oidc/corp"');
});

t.test('after a provider login, the buttons of the login page lead to the page that was requested', async (t) => {
  const button = ({ body }: LightMyRequestResponse) =>
    /<a class="button" href="(\/auth\/oidc\/corp[^"]*)"/.exec(body)![1]!.replace('&#61;', '=');
  t.equal(button(await get('/login')), '/auth/oidc/corp');
  const to = '/orders?page=2#last';
  const failed = await formPoster(service)('/auth/form/login', {
    username: 'nobody-of-this-name',
    password: 'wrong',
    to,
  });
  for (const page of [await get(`/login?${new URLSearchParams({ to }).toString()}`), failed]) {
    t.equal(button(page), '/auth/oidc/corp?to=%2Forders%3Fpage%3D2%23last');
    t.equal((await logIn('ada', { query: button(page).replace('/auth/oidc/corp', '') })).reply.headers.location, to);
  }
  for (const evil of ['//evil.example', 'https://evil.example/', '/.//evil.example'])
    t.equal((await start(`?to=${encodeURIComponent(evil)}`)).statusCode, 400, evil);
});

t.test('limits how many provider logins a network can begin in ten minutes', async (t) => {
  const host = await startService({ oidcProviders, providerLoginsPerNetwork: 2 });
  t.teardown(() => host.close());
  const begin = (remoteAddress: string) => host.inject({ url: '/auth/oidc/corp', remoteAddress });
  const { result: first, ...span } = await timeInRedis(host.client, () => begin('2001:db8::1'));
  t.equal(first.statusCode, 303);
  const counter = host.keys.throttle('provider', networkOf('2001:db8::1'));
  await assertLifetime(t, host.client, counter, 600_000, span);
  for (const status of [303, 429]) t.equal((await begin('2001:db8::1')).statusCode, status);
  const { result: refused, from, to } = await timeInRedis(host.client, () => begin('2001:db8::2'));
  t.equal(refused.statusCode, 429, 'the limit counts the whole /64');
  const endsAt = await host.client.pexpiretime(counter);
  const retryAfter = Number(refused.headers['retry-after']);
  t.ok(retryAfter >= Math.ceil((endsAt - to) / 1000) && retryAfter <= Math.ceil((endsAt - from) / 1000));
  t.equal((await begin('192.0.2.1')).statusCode, 303);
  t.equal((await host.client.keys('*oidc:login:*')).length, 3);
});
