import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import { ACCESS_COOKIE, bearer, browser, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, inject, mint, client } = service;

t.test('verify tells a proxy the subject and the session in headers', async (t) => {
  const tokens = await mint('someone@example.com / ü\r\nx: y');
  for (const method of ['GET', 'HEAD'] as const) {
    const reply = await inject({ method, url: '/auth/verify', headers: browser(tokens) });
    t.equal(reply.statusCode, 200);
    t.equal(reply.headers['x-latchkey-subject'], 'someone%40example.com%20%2F%20%C3%BC%0D%0Ax%3A%20y');
    t.equal(reply.headers['x-latchkey-session'], tokens.principal.sessionId);
    t.equal(reply.body, '');
  }
  t.equal((await get('/auth/verify', bearer(tokens))).statusCode, 200);
});

t.test('verify without a session is 401 and names nobody', async (t) => {
  for (const headers of [{}, { authorization: 'Bearer lka_x' }, { 'x-latchkey-subject': 'somebody' }]) {
    const reply = await get('/auth/verify', headers);
    t.equal(reply.statusCode, 401);
    t.equal(reply.headers['x-latchkey-subject'], undefined);
    t.equal(reply.headers['x-latchkey-session'], undefined);
  }
});

t.test('verify ignores the origin of the request: a proxy asks about cross-site requests too', async (t) => {
  const tokens = await mint();
  const foreign = {
    ...browser(tokens),
    origin: 'https://elsewhere.example',
    'sec-fetch-site': 'cross-site',
    'x-forwarded-method': 'POST',
  };
  t.equal((await get('/auth/verify', foreign)).statusCode, 200);
});

t.test('verify never rotates tokens and never writes cookies', async (t) => {
  const tokens = await mint();
  const dump = async () =>
    Promise.all(
      (await keysUnder(client, service.config.redisPrefix)).map(async (key) => [key, String(await client.dump(key))]),
    );
  const before = await dump();
  for (let i = 0; i < 5; i++) {
    const reply = await get('/auth/verify', browser(tokens));
    t.equal(reply.statusCode, 200);
    t.same(setCookies(reply), []);
  }
  t.same(await dump(), before);
});

const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'x-forwarded-method': 'GET',
  'x-forwarded-uri': '/reports?a=b&to=c',
};

t.test('verify redirects a page request without a session to continue, which leads back to the page', async (t) => {
  const expired = await mint();
  await client.del(service.keys.access(expired.pair.access.partition, expired.pair.access.digest));
  for (const headers of [{}, { 'sec-fetch-mode': 'navigate' }, browser(expired)]) {
    const reply = await get('/auth/verify', { ...NAVIGATION, ...headers });
    t.equal(reply.statusCode, 303);
    t.equal(reply.headers.location, '/auth/continue?to=%2Freports%3Fa%3Db%26to%3Dc');
    t.equal(reply.headers['cache-control'], 'no-store');
    t.same(setCookies(reply), []);
  }
});

t.test('verify is 401 for an API, a form, a script, and a proxy that does not name the request', async (t) => {
  const { accept, 'x-forwarded-method': method, 'x-forwarded-uri': uri } = NAVIGATION;
  const others = [
    { ...NAVIGATION, accept: 'application/json' },
    { ...NAVIGATION, accept: '*/*' },
    { 'x-forwarded-method': method, 'x-forwarded-uri': uri },
    { ...NAVIGATION, 'x-forwarded-method': 'POST' },
    { ...NAVIGATION, 'sec-fetch-mode': 'cors' },
    { accept, 'x-forwarded-method': method },
    { accept, 'x-forwarded-uri': uri },
  ];
  for (const headers of others) {
    const reply = await get('/auth/verify', headers);
    t.equal(reply.statusCode, 401, JSON.stringify(headers));
    t.equal(reply.headers.location, undefined);
  }
});

t.test('verify redirects only if there is no session, not for other failures', async (t) => {
  const { pair } = await mint();
  const twice = `${ACCESS_COOKIE}=${pair.access.token}; ${ACCESS_COOKIE}=${pair.access.token}`;
  t.equal((await get('/auth/verify', { ...NAVIGATION, cookie: twice })).statusCode, 400);
});

t.test('a redirect of verify never leads to another site', async (t) => {
  for (const uri of [
    '//evil.example/',
    '/\\evil.example',
    '/.//evil.example',
    'https://evil.example/',
    'evil',
    '',
    `/${'a'.repeat(2048)}`,
  ]) {
    const reply = await get('/auth/verify', {
      ...NAVIGATION,
      'x-forwarded-uri': uri,
      'x-forwarded-host': 'evil.example',
    });
    t.equal(reply.statusCode, 303);
    t.equal(reply.headers.location, '/auth/continue?to=%2F', JSON.stringify(uri.slice(0, 30)));
  }
});
