import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { ACCESS_COOKIE, browser, startService } from '../../support/service.js';
import { formPoster, GERMAN, textOf } from './support.js';

const directory = mkdtempSync(join(tmpdir(), 'latchkey-brand-'));
const STYLE = ':root { --latchkey-accent: rebeccapurple; }';
const stylesheet = join(directory, 'brand.css');
writeFileSync(stylesheet, STYLE);

const service = await startService({ brandName: 'Ada & <Sons>', brandStylesheet: stylesheet });
const plain = await startService({}, { redis: service.redis });
t.teardown(async () => {
  await plain.close();
  await service.close();
  rmSync(directory, { recursive: true });
});
const { get, inject, mint } = service;
const send = formPoster(service);

t.test('every page, even an error, is never cached, has no inline code and cannot be framed', async (t) => {
  const tokens = await mint();
  for (const [url, status, headers] of [
    ['/login', 200, {}],
    ['/register', 200, {}],
    ['/account', 200, browser(tokens)],
    ['/account', 303, {}],
    ['/login?to=https://evil.example', 400, {}],
  ] as const) {
    const reply = await get(url, headers);
    t.equal(reply.statusCode, status, url);
    t.match(reply.headers, {
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'none';style-src 'self';script-src 'self';connect-src 'self';img-src 'self';form-action 'self';frame-ancestors 'none';base-uri 'none'",
      'referrer-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'cross-origin-opener-policy': 'same-origin',
    });
    t.equal(reply.headers['x-powered-by'], undefined);
    t.notMatch(
      reply.body,
      /<style|style=|\son\w+=|<script(?! type="module" src="\/auth\/assets\/\w+\/pages\.js"><\/script>)|(src|href|action)="(?!\/)/,
      'nothing inline, nothing from other origins',
    );
    if (status !== 303) t.equal(reply.headers['content-type'], 'text/html; charset=utf-8');
  }
});

t.test('a page shows the escaped brand name and loads the brand stylesheet', async (t) => {
  const page = await get('/login');
  t.match(page.body, '<title>Log in · Ada &#38; &#60;Sons&#62;</title>');
  t.match(page.body, '<p class="brand">Ada &#38; &#60;Sons&#62;</p>');
  t.match(
    page.body,
    /pages\.css">\s*<link rel="stylesheet" href="\/auth\/assets\/\w+\/brand\.css">/,
    'its stylesheet comes after ours',
  );
  t.notMatch((await plain.get('/login')).body, 'brand.css');
  t.match(textOf(await plain.get('/login')), 'Log in · latchkey');
});

t.test('assets are cached as immutable, under a path that changes with their content', async (t) => {
  const { body } = await get('/login');
  const linked = [...body.matchAll(/<link rel="stylesheet" href="([^"]+)">/g)].map(([, path]) => path!);
  const texts = [await readFile(new URL('../../../src/http/pages/assets/pages.css', import.meta.url), 'utf8'), STYLE];
  t.equal(linked.length, texts.length);
  for (const [i, path] of linked.entries()) {
    t.match(path, /^\/auth\/assets\/[0-9a-f]{16}\/(pages|brand)\.css$/);
    const reply = await get(path);
    t.equal(reply.statusCode, 200, path);
    t.match(reply.headers, {
      'content-type': 'text/css; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    });
    t.equal(reply.body, texts[i]);
    t.equal((await plain.get(path)).statusCode, 404, 'a service with other assets does not have this path');
  }
  const directory = dirname(linked[0]!);
  for (const path of ['../index.js', '..%2findex.js', 'pages.css%00', '', 'pages.css/', 'brand.css']) {
    const reply = await get(`${path === 'brand.css' ? '/auth/assets' : directory}/${path}`);
    t.equal(reply.statusCode, 404, path);
    t.equal(reply.headers['cache-control'], 'no-store', path);
  }
});

t.test('without a built client, as in a source tree, pages load no script', async (t) => {
  const { body } = await get('/login');
  t.notMatch(body, '<script');
  const directory = /href="([^"]+)\/pages\.css"/.exec(body)![1]!;
  for (const name of ['pages.js', 'client.js']) t.equal((await get(`${directory}/${name}`)).statusCode, 404);
});

t.test('a page is in the language that its reader prefers', async (t) => {
  const german = await get('/login', GERMAN);
  t.match(german.body, '<html lang="de">');
  t.match(textOf(german), 'Anmelden · Ada & <Sons>');
  for (const language of ['fr', '*', 'xx-!!', 'en-GB, de;q=0.5', 'constructor', '__proto__']) {
    t.match((await get('/login', { 'accept-language': language })).body, '<html lang="en">', language);
  }
});

t.test('an error page says that the request failed and links to the account', async (t) => {
  const twice = await get('/account', { cookie: `${ACCESS_COOKIE}=a; ${ACCESS_COOKIE}=b` });
  t.equal(twice.statusCode, 400);
  t.match(textOf(twice), 'Something went wrong Go back and try again. Go to your account');
  t.match(twice.body, '<p id="error" class="notice error" role="alert">');
  t.match(textOf(await get('/login?reason=a&reason=b', GERMAN)), 'Etwas ist schiefgegangen');
});

t.test('only well-formed forms from the origin of the service are accepted', async (t) => {
  const fields = { username: 'ada', password: 'x' };
  const foreign = await send('/auth/form/login', fields, { 'sec-fetch-site': 'cross-site' });
  t.equal(foreign.statusCode, 403);
  t.match(textOf(foreign), 'This request came from another website, so nothing was changed.');
  t.equal(
    (await send('/auth/form/login', fields, { origin: 'null' })).statusCode,
    403,
    'from a document without an origin',
  );
  t.equal(
    (await send('/auth/form/logout', { scope: 'all' }, { ...browser(await mint()), 'sec-fetch-site': 'same-site' }))
      .statusCode,
    403,
  );
  for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x']) {
    const headers = { 'sec-fetch-site': 'same-origin', 'content-type': type };
    t.equal(
      (await inject({ method: 'POST', url: '/auth/form/login', headers, payload: JSON.stringify(fields) })).statusCode,
      415,
      type,
    );
  }
  for (const form of [
    'username=a&username=b&password=x',
    'username=a',
    'username=a&password=x&admin=1',
    'username[]=a&password=x',
    '__proto__=a',
  ]) {
    t.equal((await send('/auth/form/login', form)).statusCode, 400, form);
  }
  t.equal((await send('/auth/form/login', { username: 'a', password: 'x'.repeat(20_000) })).statusCode, 413);
});

t.test('a GET of a form URL redirects to its page', async (t) => {
  for (const [form, page] of [
    ['login', '/login'],
    ['register', '/register'],
    ['password', '/account'],
    ['/evil.example', undefined],
    ['%2f%2fevil.example', '/account'],
  ] as const) {
    const reply = await get(`/auth/form/${form}`);
    t.equal(reply.headers.location, page);
    t.equal(reply.statusCode, page === undefined ? 404 : 303);
  }
});

t.test('when Redis does not answer, a page is a 503 with Retry-After and logs nobody out', async (t) => {
  const tokens = await mint();
  service.redis.pause();
  const [account, form] = await Promise.all([
    get('/account', browser(tokens)),
    send('/auth/form/end', { session: 'x' }, browser(tokens)),
  ]);
  service.redis.resume();
  for (const reply of [account, form]) {
    t.equal(reply.statusCode, 503);
    t.equal(reply.headers['retry-after'], '1');
    t.equal(reply.headers['set-cookie'], undefined);
    t.match(textOf(reply), 'The service is temporarily unavailable. Try again in a moment.');
  }
});
