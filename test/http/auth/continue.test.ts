import t from 'tap';
import { ACCESS_COOKIE, bearer, browser, REFRESH_COOKIE, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, mint } = service;
const continueTo = (to: string, headers = {}) => get(`/auth/continue?to=${encodeURIComponent(to)}`, headers);

t.test('continue refreshes by cookie and redirects to a path of this origin', async (t) => {
  const reply = await continueTo('/account?tab=devices#this', browser(await mint()));
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/account?tab=devices#this');
  t.same(
    setCookies(reply).map(({ name }) => name),
    [ACCESS_COOKIE, REFRESH_COOKIE],
  );
  t.equal(reply.body, '');
});

t.test('a navigation from another site may use continue', async (t) => {
  const { cookie } = browser(await mint());
  t.equal((await continueTo('/account', { cookie, 'sec-fetch-site': 'cross-site' })).statusCode, 303);
});

t.test('continue without a path redirects to /', async (t) => {
  t.equal((await get('/auth/continue', browser(await mint()))).headers.location, '/');
});

t.test(
  'continue redirects to the login page, with the reason and the path, if the refresh token is not valid',
  async (t) => {
    const ended = await mint();
    await service.store.revoke(ended.principal.subject, ended.principal.sessionId, 'password_changed');
    for (const [headers, reason] of [
      [browser(ended), 'password_changed'],
      [{}, 'missing'],
      [{ cookie: `${REFRESH_COOKIE}=x` }, 'invalid'],
      [bearer(ended), 'missing'],
    ] as const) {
      const reply = await continueTo('/a b?c=d&e#f', headers);
      t.equal(reply.statusCode, 303);
      t.equal(reply.headers.location, `/login?reason=${reason}&to=%2Fa%2520b%3Fc%3Dd%26e%23f`);
      t.same(setCookies(reply), [], 'no cookie is cleared');
    }
  },
);

t.test('continue never redirects to another site', async (t) => {
  const headers = browser(await mint());
  const hostile = [
    'https://evil.example/',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/.//evil.example',
    '/..//evil.example',
    '/%2e//evil.example',
    '/a/..//evil.example',
    '/.\\/evil.example',
    '/./\\evil.example',
    '/\t.//evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    'evil.example',
    '',
    ' /account',
    '?a',
    '#a',
    '//[',
    '//user@evil.example:99999/',
    'http:/evil.example',
  ];
  for (const to of hostile) {
    const reply = await continueTo(to, headers);
    t.equal(reply.statusCode, 400, JSON.stringify(to));
    t.match(reply.json(), { code: 'invalid_request', errors: [{ field: 'query.to' }] });
    t.equal(reply.headers.location, undefined);
    t.same(setCookies(reply), []);
  }
});

t.test('every accepted path leads a browser to this origin, on one line', async (t) => {
  const headers = browser(await mint());
  const odd = [
    '/@evil.example',
    '/%2f/evil.example',
    '/%5cevil.example',
    '/a//evil.example',
    '/é?ü#ö',
    '/a\r\nset-cookie: x=y',
    '/?to=//evil.example',
    '/:80',
    '/a\\..\\b',
    '/%00',
    '/auth/continue?to=/',
  ];
  for (const to of odd) {
    const reply = await continueTo(to, headers);
    t.equal(reply.statusCode, 303, JSON.stringify(to));
    t.equal(new URL(reply.headers.location!, 'https://ours.example/auth/continue').origin, 'https://ours.example');
    t.match(reply.headers.location, /^\/(?!\/)[!-~]*$/);
    t.same(
      setCookies(reply).map(({ name }) => name),
      [ACCESS_COOKIE, REFRESH_COOKIE],
    );
  }
});

t.test('two paths, a path of 3,000 characters and unknown parameters are 400', async (t) => {
  for (const query of ['to=/a&to=/b', `to=/${'a'.repeat(3000)}`, 'to=/a&from=/b']) {
    const reply = await get(`/auth/continue?${query}`);
    t.equal(reply.statusCode, 400);
    t.equal(reply.json().code, 'invalid_request');
    t.notMatch(reply.body, 'from');
  }
});
