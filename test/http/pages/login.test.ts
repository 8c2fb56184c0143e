import t from 'tap';
import { renderLoginPage } from '../../../src/http/pages/credentials-pages.js';
import { stringsFor } from '../../../src/http/pages/strings.js';
import {
  ACCESS_COOKIE,
  browser,
  CookieJar,
  PASSWORD,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../../support/service.js';
import { formPoster, GERMAN, SAME_ORIGIN, textOf } from './support.js';

const service = await startService({ loginFailuresPerAccount: 3 });
t.teardown(() => service.close());
const { get, mint, store } = service;
const send = formPoster(service);
const logIn = (fields: Record<string, string>, headers?: Record<string, string>) =>
  send('/auth/form/login', fields, headers);

t.test('the login form has the attributes that password managers need', async (t) => {
  const { body } = await get('/login');
  t.match(body, '<form method="post" action="/auth/form/login">');
  t.match(body, '<label for="username">Username</label>');
  t.match(
    body,
    /<input id="username" name="username" value="" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus>/,
  );
  t.match(body, /<input id="password" name="password" type="password" autocomplete="current-password" required >/);
  t.match(body, '<a href="/register">Create an account</a>');
  t.notMatch(body, 'notice');
});

t.test('a login sets both cookies and leads to the account or the requested path', async (t) => {
  const { username } = await service.register();
  const reply = await logIn({ username, password: PASSWORD });
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/account');
  t.equal(reply.body, '');
  t.same(
    setCookies(reply).map(({ name, attributes }) => [name, attributes.path]),
    [
      [ACCESS_COOKIE, '/'],
      [REFRESH_COOKIE, '/auth'],
    ],
  );
  const jar = new CookieJar();
  jar.keep(reply);
  t.match(textOf(await get('/account', jar.headers('/account'))), `Logged in as ${username}`);

  const again = await logIn(
    { username, password: PASSWORD, to: '/orders?page=2#last' },
    jar.headers('/auth/form/login'),
  );
  t.equal(again.headers.location, '/orders?page=2#last');
  t.equal((await get('/account', jar.headers('/account'))).statusCode, 303, 'the previous session has ended');
});

t.test('a failed login sets no cookie, keeps the username, and does not say which part was wrong', async (t) => {
  const { username } = await service.register();
  for (const headers of [SAME_ORIGIN, browser(await mint())]) {
    for (const fields of [
      { username, password: 'wrong' },
      { username: 'nobody-of-this-name', password: 'wrong' },
    ]) {
      const reply = await logIn({ ...fields, to: '/orders' }, headers);
      t.equal(reply.statusCode, 401);
      t.same(setCookies(reply), []);
      t.match(textOf(reply), 'The username or the password is wrong.');
      t.match(reply.body, `value="${fields.username}"`);
      t.match(reply.body, '<input type="hidden" name="to" value="/orders">');
      t.match(
        reply.body,
        'autocomplete="current-password" required autofocus aria-describedby="error">',
        'the password field gets the focus',
      );
      t.notMatch(reply.body, 'wrong"', 'the password is not sent back');
    }
  }
  t.match(
    textOf(await logIn({ username, password: 'wrong' }, { ...SAME_ORIGIN, ...GERMAN })),
    'Benutzername oder Passwort ist falsch.',
  );
  const late = await logIn({ username, password: PASSWORD });
  t.equal(late.statusCode, 429);
  t.match(late.headers['retry-after'], /^\d+$/);
  t.match(textOf(late), 'Too many attempts. Wait a few minutes and try again.');
});

t.test('the login page escapes submitted text', async (t) => {
  const hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>\'`&';
  const reply = await logIn({ username: hostile, password: 'x', to: '/a"><script>alert(1)</script>' });
  t.equal(reply.statusCode, 401);
  t.notMatch(reply.body, /<script>|<img|"a"/);
  t.match(reply.body, 'value="&#34;&#62;&#60;script&#62;alert(1)');
  for (const query of ['reason=%3Cscript%3E', 'to=/%22%3E%3Cscript%3Ealert(1)%3C/script%3E', 'x=%3Cscript%3E']) {
    t.notMatch((await get(`/login?${query}`)).body, /<script>|%3Cscript%3E"/, query);
  }
});

t.test('a login never redirects to another site', async (t) => {
  const { username } = await service.register();
  const visitor = browser(await mint());
  for (const to of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '/.//evil.example',
    'javascript:alert(1)',
    '\t//evil.example',
    '',
    'account',
  ]) {
    const asked = await get(`/login?to=${encodeURIComponent(to)}`, visitor);
    t.equal(asked.statusCode, 400, JSON.stringify(to));
    const reply = await logIn({ username, password: PASSWORD, to });
    t.equal(reply.statusCode, 400);
    t.same(setCookies(reply), []);
    for (const { headers } of [asked, reply]) t.equal(headers.location, undefined);
  }
  t.equal((await get(`/login?to=/${'x'.repeat(2048)}`)).statusCode, 400);
});

t.test('the login page redirects a user who is logged in, and keeps the username for a repeated login', async (t) => {
  const tokens = await mint();
  t.equal((await get('/login', browser(tokens))).headers.location, '/account');
  t.equal((await get('/login?to=/orders', browser(tokens))).headers.location, '/orders');
  const again = await get('/login?reason=insufficient_user_authentication&to=/account', browser(tokens));
  t.equal(again.statusCode, 200);
  t.match(textOf(again), 'To continue, log in again.');
  t.match(again.body, 'value="ada"');
  t.match(again.body, 'autocomplete="current-password" required autofocus aria-describedby="info">');
});

t.test('the login page shows the reason of a logout in the language of the reader', async (t) => {
  for (const [language, headers] of [
    ['en', {}],
    ['de', GERMAN],
  ] as const) {
    for (const [reason, text] of Object.entries(stringsFor(language).reasons)) {
      t.match(textOf(await get(`/login?reason=${reason}`, headers)), text, `${language} ${reason}`);
    }
  }
  for (const reason of ['', 'constructor', '__proto__', 'no-such-reason'])
    t.notMatch((await get(`/login?reason=${reason}`)).body, 'notice', reason);
});

t.test('cookies of an ended session lead to the login page with the reason why the session ended', async (t) => {
  const tokens = await mint();
  const { subject, sessionId } = tokens.principal;
  await store.revoke(subject, sessionId, 'revoked');
  const account = await get('/account', browser(tokens, 'access'));
  const onward = await get(account.headers.location!, browser(tokens, 'refresh'));
  t.match(textOf(await get(onward.headers.location!)), 'Your session was ended.');
});

t.test('the login page has a button for each provider', async (t) => {
  const assets = { stylesheets: [], scripts: [] };
  for (const [language, text] of [
    ['en', 'Log in with Example & Co'],
    ['de', 'Mit Example & Co anmelden'],
  ] as const) {
    const body = renderLoginPage(
      { brand: { name: 'latchkey' }, assets, authPrefix: '/auth', loginPage: '/login', strings: stringsFor(language) },
      { providers: [{ name: 'Example & Co', href: '/auth/oidc/example' }], registration: false },
    );
    t.match(textOf({ body }), text);
    t.match(body, '<a class="button" href="/auth/oidc/example">');
    t.notMatch(body, '/register');
  }
});
