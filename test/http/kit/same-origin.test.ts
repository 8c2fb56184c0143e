import t from 'tap';
import { ACCESS_COOKIE, bearer, browser, PASSWORD, REFRESH_COOKIE, startService } from '../../support/service.js';

const OURS = 'https://ours.example';
const service = await startService({ publicOrigins: [OURS, 'https://also.example:8443'] });
t.teardown(() => service.close());
const { inject, post, get, mint } = service;

const sites = [undefined, 'same-origin', 'same-site', 'cross-site', 'none', 'same-origin, cross-site'];
const origins = [
  undefined,
  OURS,
  'https://also.example:8443',
  'https://ours.example:444',
  'https://ours.example.evil.example',
  'null',
];
const cookies = [undefined, `${ACCESS_COOKIE}=x`, `${REFRESH_COOKIE}=`];
const authorizations = [undefined, 'Bearer x', 'Basic eDp5'];
const requests = [
  ['POST', '/auth/login'],
  ['POST', '/auth/refresh'],
  ['POST', '/auth/logout'],
  ['DELETE', '/auth/sessions/x'],
  ['POST', '/auth/nothing'],
  ['GET', '/auth/session'],
  ['HEAD', '/auth/verify'],
] as const;

/** Whether a request must be refused, by docs/security.md. Undefined for headers that no browser sends together. */
function mustBeRefused(
  method: string,
  site?: string,
  origin?: string,
  cookie?: string,
  authorization?: string,
): boolean | undefined {
  const foreignOrigin = origin !== undefined && ![OURS, 'https://also.example:8443'].includes(origin);
  if (['same-origin', 'none'].includes(site!) && foreignOrigin) return undefined;
  if (['GET', 'HEAD'].includes(method)) return false;
  if (cookie !== undefined) return site === undefined ? origin === undefined || foreignOrigin : site !== 'same-origin';
  if (authorization !== undefined) return false;
  return site === undefined ? foreignOrigin : !['same-origin', 'none'].includes(site);
}

t.test('state-changing requests from other sites are refused, and no others', async (t) => {
  let count = { refused: 0, passed: 0 };
  const wrong: unknown[] = [];
  for (const [method, url] of requests)
    for (const site of sites)
      for (const origin of origins)
        for (const cookie of cookies)
          for (const authorization of authorizations) {
            const expected = mustBeRefused(method, site, origin, cookie, authorization);
            if (expected === undefined) continue;
            const sent = Object.entries({ 'sec-fetch-site': site, origin, cookie, authorization }).filter(
              ([, value]) => value !== undefined,
            );
            const headers = Object.fromEntries(sent) as Record<string, string>;
            const reply = await inject({ method, url, headers });
            const refused = reply.statusCode === 403 && reply.body.includes('"cross_site_request"');
            if (refused !== expected) wrong.push({ method, url, headers, reply: `${reply.statusCode} ${reply.body}` });
            count = refused ? { ...count, refused: count.refused + 1 } : { ...count, passed: count.passed + 1 };
          }
  t.same(wrong, []);
  t.ok(count.refused > 300 && count.passed > 300, JSON.stringify(count));
});

t.test('a refused cross-site request says why and changes nothing', async (t) => {
  const tokens = await mint();
  const { cookie } = browser(tokens);
  for (const path of ['/auth/refresh', '/auth/logout']) {
    const reply = await post(path, {}, { cookie, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' });
    t.equal(reply.statusCode, 403);
    t.match(reply.json(), { status: 403, code: 'cross_site_request' });
    t.equal(reply.headers['set-cookie'], undefined);
  }
  t.equal((await get('/auth/session', bearer(tokens))).statusCode, 200);
  t.match(await service.store.list(tokens.principal.subject), [{ generation: 1 }]);
});

t.test('a forged login is refused although it carries no cookie', async (t) => {
  const { username } = await service.register();
  const credentials = { username, password: PASSWORD };
  t.equal((await post('/auth/login', credentials, { 'sec-fetch-site': 'cross-site' })).statusCode, 403);
  t.equal((await post('/auth/login', credentials, { origin: 'https://evil.example' })).statusCode, 403);
  t.equal((await post('/auth/login', credentials, { origin: OURS })).statusCode, 200);
  t.equal((await post('/auth/login', credentials)).statusCode, 200, 'a client that is not a browser logs in');
});

t.test('another site can neither read a reply nor pass a preflight', async (t) => {
  const headers = {
    origin: 'https://evil.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization',
  };
  const preflight = await inject({ method: 'OPTIONS', url: '/auth/login', headers });
  t.equal(preflight.statusCode, 404);
  const read = await get('/auth/session', { ...bearer(await mint()), origin: 'https://evil.example' });
  t.equal(read.statusCode, 200);
  for (const reply of [preflight, read])
    t.same(
      Object.keys(reply.headers).filter((name) => name.startsWith('access-control')),
      [],
    );
});

t.test('without a configured origin, the loopback address that the service listens on is its origin', async (t) => {
  const local = await startService({}, { redis: service.redis });
  t.teardown(() => local.close());
  const { port } = new URL(local.url);
  const refreshFrom = async (origin: string) =>
    (await local.post('/auth/refresh', {}, { cookie: browser(await local.mint()).cookie, origin })).statusCode;
  t.equal(await refreshFrom(`http://localhost:${port}`), 200);
  t.equal(await refreshFrom(`http://127.0.0.1:${port}`), 200);
  t.equal(await refreshFrom(`https://localhost:${port}`), 403);
  t.equal(await refreshFrom('http://localhost'), 403);
});
