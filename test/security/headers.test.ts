import t, { type Test } from 'tap';
import { bearer, browser, startService } from '../support/service.js';
import { rawRequest } from '../support/raw.js';

const PROTECTIVE = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};
const service = await startService();
t.teardown(() => service.close());
const { post, get, inject, mint } = service;

function isProtected(t: Test, { headers }: { headers: Record<string, unknown> }, what: string) {
  for (const [name, value] of Object.entries(PROTECTIVE)) t.equal(headers[name], value, `${what}: ${name}`);
}

t.test('every reply that is not a page carries the protective headers', async (t) => {
  const tokens = await mint();
  const answers = {
    'a session': await get('/auth/session', bearer(tokens)),
    'forward authentication': await get('/auth/verify', bearer(tokens)),
    devices: await get('/auth/sessions', bearer(tokens)),
    'no token': await get('/auth/session'),
    'an invalid token': await get('/auth/session', { authorization: 'Bearer nonsense' }),
    'a malformed body': await inject({
      method: 'POST',
      url: '/auth/login',
      payload: '{',
      headers: { 'content-type': 'application/json' },
    }),
    'another media type': await inject({
      method: 'POST',
      url: '/auth/login',
      payload: 'a=b',
      headers: { 'content-type': 'text/plain' },
    }),
    'too large a body': await post('/auth/login', { username: 'x'.repeat(20_000), password: 'y' }),
    'a login that fails': await post('/auth/login', { username: 'nobody', password: 'not the right password' }),
    'a cross-site request': await post('/auth/login', {}, { 'sec-fetch-site': 'cross-site' }),
    'a redirect': await get('/auth/continue?to=/account'),
    'a refresh that is refused': await post('/auth/refresh', {}),
    'a path that is not there': await get('/nothing'),
    'a path of /auth that is not there': await get('/auth/nothing'),
    'another method': await inject({ method: 'PUT', url: '/auth/login' }),
    'a malformed path': await get('/auth/%zz'),
    'too long a parameter': await inject({ method: 'DELETE', url: `/auth/sessions/${'x'.repeat(5000)}` }),
    'a logout': await post('/auth/logout', {}, bearer(tokens)),
    metadata: await get('/.well-known/oauth-authorization-server'),
    'introspection that is refused': await post('/oauth/introspect', 'token=x', {
      'content-type': 'application/x-www-form-urlencoded',
    }),
  };
  for (const [what, answer] of Object.entries(answers)) isProtected(t, answer, what);
});

t.test('every reply of the internal listener carries the protective headers', async (t) => {
  for (const url of ['/livez', '/readyz', '/nothing']) isProtected(t, await service.internal.inject({ url }), url);
});

t.test('bytes that are no valid request get a problem with the protective headers', async (t) => {
  for (const [what, bytes, status] of [
    ['garbage', 'garbage\r\n\r\n', 400],
    ['too large a header', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['two lengths', 'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx', 400],
    [
      'a length beside chunks',
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a header with a NUL', 'GET /auth/session HTTP/1.1\r\nHost: x\r\nCookie: a=\0\r\n\r\n', 400],
  ] as const) {
    const reply = await rawRequest(service.url, bytes);
    t.equal(reply?.status, status, what);
    t.equal(reply?.headers['content-type'], 'application/problem+json', what);
    t.match(JSON.parse(reply?.body ?? '{}'), { status }, what);
    isProtected(t, reply!, what);
  }
});

t.test('no header reveals the server software', async (t) => {
  const { headers } = await get('/auth/session');
  t.notOk('server' in headers || 'x-powered-by' in headers);
});

t.test('no reply allows another origin to read it', async (t) => {
  const origin = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  for (const answer of [
    await get('/auth/session', { ...bearer(await mint()), ...origin }),
    await inject({
      method: 'OPTIONS',
      url: '/auth/login',
      headers: { ...origin, 'access-control-request-method': 'POST' },
    }),
  ]) {
    for (const name of Object.keys(answer.headers)) t.notMatch(name, /^access-control-/);
  }
});

t.test(
  'Strict-Transport-Security is sent for a year if every public origin is https, and never otherwise',
  async (t) => {
    const secure = await startService({ publicOrigins: ['https://example.com'] });
    t.teardown(() => secure.close());
    for (const url of ['/auth/session', '/nothing']) {
      t.equal((await secure.get(url)).headers['strict-transport-security'], 'max-age=31536000', url);
      t.equal((await get(url)).headers['strict-transport-security'], undefined, url);
    }
  },
);

t.test('a logout clears only the cache of the browser, and not in Chromium, where that stalls', async (t) => {
  const cleared = async (headers: Record<string, string>, scope: string) =>
    (await post('/auth/logout', { scope }, headers)).headers['clear-site-data'];
  t.equal(await cleared(browser(await mint()), 'all'), '"cache"');
  t.equal(await cleared(browser(await mint()), 'session'), '"cache"');
  t.equal(await cleared(browser(await mint()), 'others'), undefined, 'this device stays logged in');
  t.equal(await cleared({ ...browser(await mint()), 'sec-ch-ua': '"Chromium";v="140"' }, 'all'), undefined);
});
