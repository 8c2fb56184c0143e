import Fastify from 'fastify';
import t, { type Test } from 'tap';
import { stringsFor } from '../../../src/http/pages/strings.js';
import { latchkey } from '../../../src/plugin.js';
import type { IssuedTokens } from '../../../src/sessions/session.js';
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

const NEW = 'an entirely different passphrase';
const LONG_AGO_MS = 16 * 60_000;

const service = await startService();
t.teardown(() => service.close());
const { get, mint, store, client, keys } = service;
const send = formPoster(service);
const endOf = (sessionId: string, headers: Record<string, string>) =>
  send('/auth/form/end', { session: sessionId }, headers);
const logOut = (scope: string, headers: Record<string, string>) => send('/auth/form/logout', { scope }, headers);
const change = (headers: Record<string, string>, current = PASSWORD, replacement = NEW) =>
  send('/auth/form/password', { username: 'ada', current_password: current, new_password: replacement }, headers);
const devices = async (subject: string) => (await store.list(subject)).map(({ sessionId }) => sessionId);
const assertLoginRedirect = (
  t: Test,
  { headers, statusCode }: { headers: Record<string, unknown>; statusCode: number },
  reason: string,
) => {
  t.equal(statusCode, 303);
  t.equal(headers.location, `/login?reason=${reason}&to=%2Faccount`);
};

/** Makes the access token expire. */
const expire = ({ pair: { access } }: IssuedTokens) => client.del(keys.access(access.partition, access.digest));

t.test('the account page lists this device and the others', async (t) => {
  const own = await mint();
  const { subject } = own.principal;
  await mint(subject, { origin: { device: 'Safari 18 · iOS <b>', address: '2001:db8::1' } });
  await mint(subject, { origin: { device: 'unknown', address: '192.0.2.7' } });
  await mint(subject, { origin: { device: '', address: '192.0.2.8' } });
  const page = await get('/account', browser(own, 'access'));
  const text = textOf(page);
  t.match(text, 'Logged in as ada');
  t.match(
    text,
    /Firefox 140 · Linux last active \w+ \d+, \d{4}, \d+:\d\d\s[AP]M UTC from 192\.0\.2\.1 logged in since .* UTC This device/,
  );
  t.match(text, /Safari 18 · iOS <b> last active [^·]* from 2001:db8::1/);
  t.equal(text.split('unknown device').length - 1, 2);
  t.notMatch(page.body, '<b>');
  t.equal(page.body.split('action="/auth/form/end"').length - 1, 3, 'only other devices have this form');
  t.match(page.body, 'aria-label="Log out Safari 18 · iOS &#60;b&#62;"');
  t.match(page.body, /<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z">/);
  t.match(text, 'Log out all other devices Log out everywhere');
  t.notMatch(page.body, /lk[ar]_/);
  const german = textOf(await get('/account', { ...browser(own, 'access'), ...GERMAN }));
  const strings = stringsFor('de');
  for (const name of [
    'devices',
    'thisDevice',
    'from',
    'loggedInSince',
    'lastActive',
    'logOutOthers',
    'logOutEverywhere',
    'loggedInAs',
    'unknownDevice',
    'account',
    'changePassword',
    'changePasswordNote',
    'currentPassword',
    'newPassword',
  ] as const) {
    t.match(german, strings[name]);
  }
});

t.test('with one session, the account page offers no session to end', async (t) => {
  const own = await mint('somebody', { identity: { subject: 'somebody', methods: ['pwd'] } });
  const page = await get('/account', browser(own));
  t.match(textOf(page), 'Logged in as somebody');
  t.match(textOf(page), 'No other device is logged in.');
  const { logOutEverywhere, endings, linkAccounts } = stringsFor('en');
  for (const text of [logOutEverywhere, endings, linkAccounts]) t.notMatch(page.body, text);
  t.match(textOf(await get('/account', { ...browser(own), ...GERMAN })), 'Kein anderes Gerät ist angemeldet.');
});

t.test('the account page lists recently ended sessions and why they ended', async (t) => {
  const own = await mint();
  const { subject } = own.principal;
  for (const reason of [
    'logged_out',
    'logged_out_elsewhere',
    'password_changed',
    'superseded',
    'reused',
    'evicted',
    'revoked',
  ] as const) {
    await store.revoke(subject, (await mint(subject)).principal.sessionId, reason);
  }
  for (const [language, headers] of [
    ['en', {}],
    ['de', GERMAN],
  ] as const) {
    const text = textOf(await get('/account', { ...browser(own), ...headers }));
    t.match(text, stringsFor(language).endings);
    for (const why of Object.values(stringsFor(language).endingReasons)) t.match(text, `Firefox 140 · Linux ${why} ·`);
  }
});

t.test('without an access token, the account page redirects to renew the session and back', async (t) => {
  const tokens = await mint();
  await expire(tokens);
  const away = await get('/account?done=others_ended', browser(tokens, 'access'));
  t.equal(away.statusCode, 303);
  t.equal(away.headers.location, '/auth/continue?to=%2Faccount%3Fdone%3Dothers_ended');
  const back = await get(away.headers.location!, browser(tokens, 'refresh'));
  t.equal(back.headers.location, '/account?done=others_ended');
  const jar = new CookieJar();
  jar.keep(back);
  t.match(textOf(await get(back.headers.location!, jar.headers('/account'))), 'All other devices were logged out.');
});

t.test('the account page confirms a known action and ignores an unknown one', async (t) => {
  const headers = browser(await mint());
  for (const [language, more] of [
    ['en', {}],
    ['de', GERMAN],
  ] as const) {
    for (const [done, text] of Object.entries(stringsFor(language).done)) {
      t.match(textOf(await get(`/account?done=${done}`, { ...headers, ...more })), text);
    }
  }
  t.notMatch((await get('/account?done=%3Cscript%3E', headers)).body, /notice|<script>/);
});

t.test('the account page ends another session of its user', async (t) => {
  const own = await mint();
  const { subject, sessionId } = own.principal;
  const other = await mint(subject);
  const reply = await endOf(other.principal.sessionId, browser(own));
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/account?done=session_ended');
  t.same(setCookies(reply), []);
  t.same(await devices(subject), [sessionId]);
  t.equal(
    (await get('/account', browser(other, 'access'))).statusCode,
    303,
    'the ended session is refused at its next request',
  );
  t.equal(
    (await get('/auth/continue?to=/account', browser(other, 'refresh'))).headers.location,
    '/login?reason=logged_out_elsewhere&to=%2Faccount',
  );

  const again = await endOf(other.principal.sessionId, browser(own));
  t.equal(again.statusCode, 404);
  t.match(textOf(again), 'This entry no longer exists.');
  t.match(textOf(again), 'Logged in as ada', 'the error is shown on the account page');
  t.match(textOf(await endOf('nobody', { ...browser(own), ...GERMAN })), 'Diesen Eintrag gibt es nicht mehr.');
});

t.test('the account page never ends a session of another user', async (t) => {
  const stranger = await mint();
  t.equal((await endOf(stranger.principal.sessionId, browser(await mint()))).statusCode, 404);
  t.equal((await devices(stranger.principal.subject)).length, 1);
  assertLoginRedirect(t, await endOf(stranger.principal.sessionId, SAME_ORIGIN), 'missing');
  t.equal((await send('/auth/form/end', { session: 'x'.repeat(65) }, browser(stranger))).statusCode, 400);
});

t.test('the account page logs out the other sessions, this session, or all sessions', async (t) => {
  const own = await mint();
  const { subject, sessionId } = own.principal;
  await mint(subject);
  const others = await logOut('others', browser(own));
  t.equal(others.headers.location, '/account?done=others_ended');
  t.same(setCookies(others), []);
  t.same(await devices(subject), [sessionId]);

  const other = await mint(subject);
  const one = await logOut('session', browser(own));
  assertLoginRedirect(t, one, 'logged_out');
  t.same(
    setCookies(one).map(({ name, value, attributes }) => [name, value, attributes['max-age']]),
    [
      [ACCESS_COOKIE, '', '0'],
      [REFRESH_COOKIE, '', '0'],
      [`${ACCESS_COOKIE}-logged-out`, '', '1'],
    ],
  );
  t.same(await devices(subject), [other.principal.sessionId]);

  await mint(subject);
  assertLoginRedirect(t, await logOut('all', browser(other)), 'logged_out');
  t.same(await devices(subject), []);
  t.equal((await logOut('everything', browser(other))).statusCode, 400);
  t.equal((await logOut('all', { ...SAME_ORIGIN, cookie: `${ACCESS_COOKIE}=a; ${ACCESS_COOKIE}=b` })).statusCode, 400);
});

t.test('a form posted after the access token expired takes effect and renews the session', async (t) => {
  const own = await mint();
  const { subject, sessionId } = own.principal;
  const other = await mint(subject);
  await expire(own);
  const reply = await endOf(other.principal.sessionId, browser(own));
  t.equal(reply.headers.location, '/account?done=session_ended');
  t.same(
    setCookies(reply).map(({ name }) => name),
    [ACCESS_COOKIE, REFRESH_COOKIE],
  );
  t.same(await devices(subject), [sessionId]);
  assertLoginRedirect(t, await logOut('all', browser(own, 'refresh')), 'logged_out');
});

t.test('a form posted after the session ended redirects to the reason and sets no cookie', async (t) => {
  const tokens = await mint();
  const { subject, sessionId } = tokens.principal;
  await store.revoke(subject, sessionId, 'password_changed');
  const ended = await endOf(sessionId, browser(tokens));
  assertLoginRedirect(t, ended, 'password_changed');
  t.same(setCookies(ended), []);
  for (const headers of [browser(tokens), SAME_ORIGIN]) {
    const reply = await logOut('all', headers);
    t.equal(reply.headers.location, '/auth/continue?to=%2Faccount', 'where the refresh token gives the reason');
    t.same(setCookies(reply), []);
  }
  assertLoginRedirect(t, await get('/auth/continue?to=%2Faccount', browser(tokens)), 'password_changed');
  assertLoginRedirect(t, await endOf(sessionId, { ...SAME_ORIGIN, cookie: `${REFRESH_COOKIE}=x` }), 'invalid');
});

t.test('reuse of a refresh token by a form ends the session', async (t) => {
  const old = await mint();
  let tokens = old;
  // Rotate, confirm the new pair, and rotate again.
  for (let refresh = 0; refresh < 3; refresh++) {
    await service.age(tokens, 60_000);
    const renewed = await store.rotate(tokens.pair.refresh, { address: '192.0.2.1' });
    if (renewed.outcome === 'ended' || renewed.outcome === 'reused') throw new Error(renewed.outcome);
    tokens = renewed;
  }
  assertLoginRedirect(t, await logOut('session', browser(old, 'refresh')), 'reused');
  t.same(await devices(old.principal.subject), []);
});

t.test('ending other sessions or changing the password needs a recent login', async (t) => {
  const { subject } = await service.register();
  const old = await mint(subject, { authenticatedAt: Date.now() - LONG_AGO_MS });
  const other = await mint(subject);
  for (const reply of [
    await endOf(other.principal.sessionId, browser(old)),
    await logOut('others', browser(old)),
    await change(browser(old)),
  ]) {
    assertLoginRedirect(t, reply, 'insufficient_user_authentication');
  }
  t.equal((await devices(subject)).length, 2);
  assertLoginRedirect(t, await logOut('session', browser(old)), 'logged_out');
});

t.test('the password form has the attributes that password managers need', async (t) => {
  const { body } = await get('/account', browser(await mint()));
  t.match(body, '<input name="username" value="ada" autocomplete="username" readonly hidden>');
  t.match(body, 'name="current_password" type="password" autocomplete="current-password" required');
  t.match(
    body,
    'name="new_password" type="password" autocomplete="new-password" minlength="15" aria-describedby="new-password-hint" required',
  );
});

t.test('the account page changes the password and explains why it refuses one', async (t) => {
  const { subject, username } = await service.register();
  const own = await mint(subject);
  const other = await mint(subject);
  for (const [current, replacement, status, english, german] of [
    ['wrong', NEW, 401, 'The current password is wrong.', 'Das aktuelle Passwort ist falsch.'],
    [PASSWORD, 'short', 422, 'The password is too short.', 'Das Passwort ist zu kurz.'],
  ] as const) {
    for (const [text, headers] of [
      [english, {}],
      [german, GERMAN],
    ] as const) {
      const reply = await change({ ...browser(own), ...headers }, current, replacement);
      t.equal(reply.statusCode, status);
      t.match(textOf(reply), text);
      t.same(setCookies(reply), []);
    }
  }
  const reply = await change(browser(own));
  t.equal(reply.headers.location, '/account?done=password_changed');
  const jar = new CookieJar();
  jar.keep(reply);
  t.equal((await devices(subject)).length, 1);
  t.match(textOf(await get('/account', jar.headers('/account'))), `Logged in as ${username}`);
  t.equal(
    (await get('/auth/continue?to=/account', browser(other, 'refresh'))).headers.location,
    '/login?reason=password_changed&to=%2Faccount',
  );
});

t.test('a form with an unknown or a missing field is refused', async (t) => {
  const own = await mint();
  const other = await mint(own.principal.subject);
  const forms: Record<string, Record<string, string>> = {
    login: { username: 'ada', password: PASSWORD },
    register: { username: 'ada', password: PASSWORD },
    logout: { scope: 'others' },
    end: { session: other.principal.sessionId },
    password: { current_password: PASSWORD, new_password: NEW },
  };
  for (const [form, fields] of Object.entries(forms)) {
    const url = `/auth/form/${form}`;
    t.equal(
      (await send(url, { ...fields, subject: 'somebody' }, browser(own))).statusCode,
      400,
      `${form} with a subject`,
    );
    for (const missing of Object.keys(fields)) {
      const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => name !== missing));
      t.equal((await send(url, rest, browser(own))).statusCode, 400, `${form} without ${missing}`);
    }
  }
  t.equal((await devices(own.principal.subject)).length, 2, 'no form had an effect');
});

t.test('changing the password after the access token expired sets each cookie once', async (t) => {
  const { subject } = await service.register();
  const own = await mint(subject);
  await expire(own);
  const reply = await change(browser(own));
  t.equal(reply.headers.location, '/account?done=password_changed');
  t.same(
    setCookies(reply).map(({ name }) => name),
    [ACCESS_COOKIE, REFRESH_COOKIE],
  );
  const jar = new CookieJar();
  jar.keep(reply);
  t.equal((await get('/account', jar.headers('/account'))).statusCode, 200);
});

t.test('in an app with its own users, pages offer no registration and no password change', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  await app.register(latchkey, {
    redis: client,
    redisPrefix: service.config.redisPrefix,
    tokenKeys: service.config.tokenKeys,
    publicOrigins: ['https://example.com'],
    loginPage: '/signin',
    pages: { name: 'Host' },
    onEvent: () => undefined,
    verifyCredentials: async ({ username, password }) =>
      password === 'host' ? { subject: `host-${username}`, username } : undefined,
  });
  const login = await app.inject({ url: '/login' });
  t.notMatch(login.body, '/register');
  t.equal((await app.inject({ url: '/register' })).statusCode, 404);
  const headers = { ...SAME_ORIGIN, 'content-type': 'application/x-www-form-urlencoded' };
  const reply = await app.inject({
    method: 'POST',
    url: '/auth/form/login',
    headers,
    payload: 'username=ada&password=host',
  });
  const jar = new CookieJar();
  jar.keep(reply);
  const account = await app.inject({ url: '/account', headers: jar.headers('/account') });
  t.match(textOf(account), 'Logged in as ada');
  t.notMatch(account.body, 'new_password');
  t.match(account.body, 'data-login="/signin"');
  t.equal(
    (
      await app.inject({
        method: 'POST',
        url: '/auth/form/password',
        headers,
        payload: 'current_password=a&new_password=b',
      })
    ).statusCode,
    404,
  );
});
