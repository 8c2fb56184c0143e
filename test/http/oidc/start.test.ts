import { createHash } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import t from 'tap';
import { formPoster } from '../pages/support.js';
import { setCookies, startService } from '../../support/service.js';
import { OIDC_COOKIE, provider, oidcProviders, service, get, client, keys, start, cookieOf, logIn } from './support.js';

t.test('sends the browser to the provider with code, PKCE, state and nonce, bound to it for ten minutes', async (t) => {
  const reply = await start('?to=/reports');
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
  t.equal(query.max_age, String(90 * 86_400), 'so that it tells when its user logged in');
  for (const name of ['state', 'nonce', 'code_challenge']) t.match(query[name], /^[\w-]{43}$/, name);
  t.match(setCookies(reply), [
    { name: OIDC_COOKIE, attributes: { path: '/', 'max-age': '600', httponly: '', secure: '', samesite: 'Lax' } },
  ]);
  const key = keys.loginAttempt(createHash('sha256').update(query.state!).digest('base64url'));
  const left = await client.pttl(key);
  t.ok(left > 590_000 && left <= 600_000);
  t.notMatch(await client.get(key), query.state, 'the state itself is not kept');
  t.equal(
    cookieOf(await start('', { cookie: cookieOf(reply) })),
    cookieOf(reply),
    'a second tab does not disturb the first',
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

t.test('asks the provider for a new login when the user has to log in again', async (t) => {
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

t.test('an unknown provider is a 404, one that cannot be discovered a 503', async (t) => {
  for (const path of ['', '/callback?state=x']) {
    t.equal((await get(`/auth/oidc/nobody${path}`)).statusCode, 404);
    for (const name of ['away', 'secure']) t.equal((await get(`/auth/oidc/${name}${path}`)).statusCode, 503);
  }
  t.equal((await start('', {}, 'foreign')).statusCode, 503, 'it says that it is somebody else');
  t.equal((await start('?to=//evil.example')).statusCode, 400);
  t.match((await get('/login')).body, 'href="/auth/oidc/corp"');
});

t.test('the buttons of the login page lead back to the page that was asked for', async (t) => {
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

t.test('limits how many logins a network can begin in ten minutes, since Redis keeps each', async (t) => {
  const host = await startService({ oidcProviders, providerLoginsPerNetwork: 2 });
  t.teardown(() => host.close());
  const begin = (remoteAddress: string) => host.inject({ url: '/auth/oidc/corp', remoteAddress });
  for (const status of [303, 303, 429]) t.equal((await begin('2001:db8::1')).statusCode, status);
  t.match((await begin('2001:db8::2')).headers['retry-after'], /^(5\d\d|600)$/, 'the whole /64 waits');
  t.equal((await begin('192.0.2.1')).statusCode, 303);
  t.equal((await host.client.keys('*oidc:login:*')).length, 3);
});
