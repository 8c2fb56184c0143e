import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { rawRequest } from '../support/raw.js';
import { bearer, browser, startService } from '../support/service.js';

const PROTECTIVE = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
};
const service = await startService();
t.teardown(() => service.close());
const { post, get, inject, mint } = service;

function assertProtected(t: Test, { headers }: { headers: Record<string, unknown> }, what: string) {
  for (const [name, value] of Object.entries(PROTECTIVE)) t.equal(headers[name], value, `${what}: ${name}`);
}

t.test('every reply that is not a page carries the protective headers', async (t) => {
  const tokens = await mint();
  const replies: Record<string, [status: number, reply: LightMyRequestResponse]> = {
    'a session': [200, await get('/auth/session', bearer(tokens))],
    'forward authentication': [200, await get('/auth/verify', bearer(tokens))],
    'the list of sessions': [200, await get('/auth/sessions', bearer(tokens))],
    'a request without a token': [401, await get('/auth/session')],
    'an invalid token': [401, await get('/auth/session', { authorization: 'Bearer nonsense' })],
    'a malformed body': [
      400,
      await inject({
        method: 'POST',
        url: '/auth/login',
        payload: '{',
        headers: { 'content-type': 'application/json' },
      }),
    ],
    'a body of another media type': [
      415,
      await inject({
        method: 'POST',
        url: '/auth/login',
        payload: 'a=b',
        headers: { 'content-type': 'text/plain' },
      }),
    ],
    'a body that is too large': [413, await post('/auth/login', { username: 'x'.repeat(20_000), password: 'y' })],
    'a failed login': [401, await post('/auth/login', { username: 'nobody', password: 'not the right password' })],
    'a cross-site request': [403, await post('/auth/login', {}, { 'sec-fetch-site': 'cross-site' })],
    'a redirect': [303, await get('/auth/continue?to=/account')],
    'a refused refresh': [403, await post('/auth/refresh', {})],
    'an unknown path': [404, await get('/nothing')],
    'an unknown path under /auth': [404, await get('/auth/nothing')],
    'an unknown method': [404, await inject({ method: 'PUT', url: '/auth/login' })],
    'a malformed path': [400, await get('/auth/%zz')],
    'a parameter that is too long': [
      404,
      await inject({ method: 'DELETE', url: `/auth/sessions/${'x'.repeat(5000)}` }),
    ],
    'a logout': [204, await post('/auth/logout', {}, bearer(tokens))],
    metadata: [200, await get('/.well-known/oauth-authorization-server')],
    'a refused introspection': [
      401,
      await post('/oauth/introspect', 'token=x', {
        'content-type': 'application/x-www-form-urlencoded',
      }),
    ],
  };
  for (const [what, [status, reply]] of Object.entries(replies)) {
    t.equal(reply.statusCode, status, what);
    assertProtected(t, reply, what);
  }
});

t.test('every reply of the internal listener carries the protective headers', async (t) => {
  for (const [url, status] of [
    ['/livez', 200],
    ['/readyz', 200],
    ['/nothing', 404],
  ] as const) {
    const reply = await service.internal.inject({ url });
    t.equal(reply.statusCode, status, url);
    assertProtected(t, reply, url);
  }
});

t.test('bytes that are not a valid request get a problem with the protective headers', async (t) => {
  for (const [what, bytes, status] of [
    ['garbage', 'garbage\r\n\r\n', 400],
    ['a header that is too large', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'two Content-Length headers',
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      400,
    ],
    [
      'a Content-Length with chunked encoding',
      'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a header with a NUL', 'GET /auth/session HTTP/1.1\r\nHost: x\r\nCookie: a=\0\r\n\r\n', 400],
  ] as const) {
    const reply = await rawRequest(service.url, bytes);
    t.equal(reply?.status, status, what);
    t.equal(reply?.headers['content-type'], 'application/problem+json', what);
    t.match(JSON.parse(reply?.body ?? '{}'), { status }, what);
    assertProtected(t, reply!, what);
  }
});

t.test('no header reveals the server software', async (t) => {
  const { statusCode, headers } = await get('/auth/session');
  t.equal(statusCode, 401);
  t.notOk('server' in headers || 'x-powered-by' in headers);
});

t.test('no reply allows another origin to read it', async (t) => {
  const origin = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  const read = await get('/auth/session', { ...bearer(await mint()), ...origin });
  const preflight = await inject({
    method: 'OPTIONS',
    url: '/auth/login',
    headers: { ...origin, 'access-control-request-method': 'POST' },
  });
  t.equal(read.statusCode, 200);
  t.equal(preflight.statusCode, 404);
  for (const reply of [read, preflight]) {
    const names = Object.keys(reply.headers);
    t.ok(names.includes('cache-control'));
    for (const name of names) t.notMatch(name, /^access-control-/);
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

t.test('a logout clears the cache of a browser, except of Chromium, where that stalls', async (t) => {
  const logOut = async (headers: Record<string, string>, scope: string) => {
    const reply = await post('/auth/logout', { scope }, headers);
    t.equal(reply.statusCode, 204);
    return reply.headers['clear-site-data'];
  };
  t.equal(await logOut(browser(await mint()), 'all'), '"cache"');
  t.equal(await logOut(browser(await mint()), 'session'), '"cache"');
  t.equal(await logOut(browser(await mint()), 'others'), undefined, 'this device stays logged in');
  t.equal(await logOut({ ...browser(await mint()), 'sec-ch-ua': '"Chromium";v="140"' }, 'all'), undefined);
});
