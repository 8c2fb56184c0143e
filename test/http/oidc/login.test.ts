import { generateKeyPair, SignJWT } from 'jose';
import { createHash, randomBytes } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { toSessionDetails } from '../../../src/http/oidc/login.js';
import type { AuthEvent } from '../../../src/http/flows/audit.js';
import { Links } from '../../../src/federation/links.js';
import { partitionOf } from '../../../src/redis/keys.js';
import { formPoster, GERMAN, textOf } from '../pages/support.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  CookieJar,
  PASSWORD,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../../support/service.js';
import { ACR, CLIENT, startProvider } from './provider.js';

const OIDC_COOKIE = '__Host-Http-latchkey-oidc';
const provider = await startProvider();
const events: AuthEvent[] = [];
const oidcProviders = [
  { name: 'corp', issuer: provider.issuer, ...CLIENT },
  { name: 'other', issuer: provider.issuer, ...CLIENT },
  { name: 'foreign', issuer: `${provider.issuer}/realm`, ...CLIENT },
  { name: 'away', issuer: 'http://127.0.0.1:1', ...CLIENT },
  { name: 'secure', issuer: 'https://127.0.0.1:1', ...CLIENT },
];
const SECRET = 'lks_a-secret-that-was-drawn-at-random';
const oauthClients = [{ id: 'resource-server', secretHash: createHash('sha256').update(SECRET).digest('base64url') }];
const service = await startService({ oidcProviders, oauthClients }, { onEvent: (event) => events.push(event) });
provider.configure({
  redirectUris: [`${service.url}/auth/oidc/corp/callback`, `${service.url}/auth/oidc/other/callback`],
  backchannelLogoutUri: `${service.url}/auth/oidc/corp/backchannel`,
  postLogoutUri: `${service.url}/login`,
});
t.teardown(async () => {
  await service.close();
  await provider.close();
});
const { get, post, client, keys } = service;

const host = new URL(service.url).host;
const start = (query = '', headers = {}, name = 'corp') => get(`/auth/oidc/${name}${query}`, { host, ...headers });
const cookieOf = (reply: LightMyRequestResponse) =>
  setCookies(reply)
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');
const pathOf = (url: string) => new URL(url).pathname + new URL(url).search;

/** A whole login, up to the answer of the callback. */
async function logIn(
  login: string,
  { query = '', headers = {}, acr }: { query?: string; headers?: Record<string, string>; acr?: string } = {},
) {
  const begun = await start(query, headers);
  const back = await provider.authorize(begun.headers.location!, login, acr);
  const cookie = [headers.cookie, cookieOf(begun)].filter(Boolean).join('; ');
  return { begun, back, cookie, reply: await get(pathOf(back), { cookie }) };
}

const sessionOf = async (reply: LightMyRequestResponse) => {
  const access = setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value;
  const answer = await get('/auth/session', { authorization: `Bearer ${access}` });
  return { status: answer.statusCode, headers: { authorization: `Bearer ${access}` }, ...answer.json() };
};

const refused = (t: Test, reply: LightMyRequestResponse, code = 'provider_login_failed', to?: string) => {
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, `/login?${new URLSearchParams({ reason: code, ...(to && { to }) }).toString()}`);
  t.same(setCookies(reply), []);
};

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

/** A logout token of mary's, save for what is changed; signed by the provider unless another key is given. */
function logoutToken(
  changes: Record<string, unknown>,
  { key = provider.signingKey, typ = 'logout+jwt' } = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: provider.issuer,
    aud: CLIENT.clientId,
    iat: now,
    exp: now + 120,
    jti: randomBytes(8).toString('hex'),
    sub: 'mary',
    events: { [EVENT]: {} },
    ...changes,
  };
  return new SignJWT(JSON.parse(JSON.stringify(claims))).setProtectedHeader({ alg: 'RS256', typ }).sign(key);
}

const logOut = (token: string, name = 'corp') =>
  post(`/auth/oidc/${name}/backchannel`, new URLSearchParams({ logout_token: token }).toString(), {
    'content-type': 'application/x-www-form-urlencoded',
  });

t.test('the way to the provider: code, PKCE, state and nonce, bound to the browser for ten minutes', async (t) => {
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
  const key = keys.oidc('login', createHash('sha256').update(query.state!).digest('base64url'));
  const left = await client.pttl(key);
  t.ok(left > 590_000 && left <= 600_000);
  t.notMatch(await client.get(key), query.state, 'the state itself is not kept');
  t.equal(
    cookieOf(await start('', { cookie: cookieOf(reply) })),
    cookieOf(reply),
    'a second tab does not disturb the first',
  );
});

t.test('a site that leads to it begins nothing: the login page asks', async (t) => {
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

t.test('a login begins a session with what the ID token says, and the next one is the same user', async (t) => {
  const { reply } = await logIn('ada', { query: '?to=/reports' });
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/reports');
  const session = await sessionOf(reply);
  t.match(session, { status: 200, methods: ['federated'], data: { oidc: { provider: 'corp', sid: /./ } } });
  t.ok(Math.abs(Date.now() / 1000 - session.authenticated_at) < 60);
  t.match(session.subject, /^[\w-]{22}$/, 'a subject of ours, not that of the provider');
  const again = await sessionOf((await logIn('ada')).reply);
  t.equal(again.subject, session.subject);
  t.not((await sessionOf((await logIn('grace')).reply)).subject, session.subject);
  t.match(events.at(-1), { event: 'login', outcome: 'success' });
});

t.test('introspection tells the acr of the ID token that a session began with', async (t) => {
  for (const acr of [ACR, undefined]) {
    const { reply } = await logIn('ada', acr === undefined ? {} : { acr });
    const form = {
      token: setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value,
      client_id: 'resource-server',
      client_secret: SECRET,
    };
    const answer = await post('/oauth/introspect', new URLSearchParams(form).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
    });
    t.equal(answer.json().active, true);
    t.equal(answer.json().acr, acr);
  }
});

t.test('a login ends the session that this browser had, and only one of the same user', async (t) => {
  const first = await logIn('ada');
  const jar = new CookieJar();
  jar.keep(first.reply);
  const { cookie } = jar.headers('/auth');
  const second = await sessionOf((await logIn('ada', { headers: { cookie } })).reply);
  t.equal((await sessionOf(first.reply)).status, 401);
  t.match(await service.store.endings(second.subject), [{ reason: 'superseded' }]);
  t.equal((await get('/auth/session', second.headers)).statusCode, 200);

  const own = await service.mint();
  await logIn('ada', { headers: browser(own) });
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
});

t.test('who has to log in again does so at the provider too', async (t) => {
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

t.test('a session keeps how its user logged in, as far as the provider says', async (t) => {
  t.strictSame(toSessionDetails('corp', { amr: ['pwd', 'otp'], acr: 'urn:two-factors', sid: 's' }), {
    methods: ['pwd', 'otp'],
    data: { oidc: { provider: 'corp', sid: 's', acr: 'urn:two-factors' } },
  });
  t.strictSame(toSessionDetails('corp', {}), { methods: ['federated'], data: { oidc: { provider: 'corp' } } });
});

t.test('an answer that comes back twice, in another browser, or to another provider is refused', async (t) => {
  const { back, cookie } = await logIn('ada');
  refused(t, await get(pathOf(back), { cookie }));
  for (const headers of [
    {},
    { cookie: `${OIDC_COOKIE}=${randomBytes(32).toString('base64url')}` },
    { cookie: `${OIDC_COOKIE}=x` },
  ]) {
    const begun = await start();
    const url = pathOf(await provider.authorize(begun.headers.location!, 'ada'));
    refused(t, await get(url, headers));
    refused(t, await get(url, { cookie: cookieOf(begun) }), undefined);
  }
  const begun = await start();
  const url = pathOf(await provider.authorize(begun.headers.location!, 'ada'));
  refused(t, await get(url.replace('/corp/', '/other/'), { cookie: cookieOf(begun) }));
  refused(t, await get('/auth/oidc/corp/callback?state=made-up&code=x'));
  t.match(events.at(-1), { event: 'login', outcome: 'failure', reason: 'unknown_state' });
});

t.test('a wrong nonce, a foreign issuer, a wrong verifier, and a refusal of the user are refused', async (t) => {
  const tampered: [string, (url: URL, key: string) => Promise<unknown>][] = [
    [
      'nonce',
      async (_url, key) =>
        client.set(key, (await client.get(key))!.replace(/"nonce":"[^"]+"/, '"nonce":"another"'), 'KEEPTTL'),
    ],
    [
      'verifier',
      async (_url, key) =>
        client.set(
          key,
          (await client.get(key))!.replace(/"verifier":"[^"]+"/, `"verifier":"${'x'.repeat(43)}"`),
          'KEEPTTL',
        ),
    ],
    ['issuer', async (url) => url.searchParams.set('iss', 'https://evil.example')],
    ['error', async (url) => (url.searchParams.delete('code'), url.searchParams.set('error', 'access_denied'))],
  ];
  for (const [what, tamper] of tampered) {
    const begun = await start('?to=/reports');
    const state = new URL(begun.headers.location!).searchParams.get('state')!;
    const back = new URL(await provider.authorize(begun.headers.location!, 'ada'));
    await tamper(back, keys.oidc('login', createHash('sha256').update(state).digest('base64url')));
    refused(t, await get(pathOf(back.href), { cookie: cookieOf(begun) }), undefined, '/reports');
    t.match(events.at(-1), { outcome: 'failure', reason: 'refused_answer' }, what);
  }
});

t.test('a provider that is unknown, foreign or away', async (t) => {
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

t.test('the account page links an account', async (t) => {
  const { subject } = await service.register();
  const own = await service.mint(subject);
  const page = await get('/account', browser(own));
  for (const [text, headers] of [
    ['Link your corp account', {}],
    ['Konto bei corp verknüpfen', GERMAN],
  ] as const) {
    t.match(textOf(await get('/account', { ...browser(own), ...headers })), text);
  }
  const href = /href="(\/auth\/link\/corp)"/.exec(page.body)![1]!;
  const onward = await get(href, browser(own));
  t.equal(onward.statusCode, 303);
  t.equal(onward.headers.location, '/auth/oidc/corp?link=1&to=%2Faccount%3Fdone%3Dlinked');
  const { reply } = await logIn('linked@corp', {
    query: onward.headers.location!.replace('/auth/oidc/corp', ''),
    headers: browser(own),
  });
  t.equal(reply.headers.location, '/account?done=linked');
  t.match(textOf(await get(reply.headers.location!, browser(own))), 'The account is linked.');
  t.equal((await sessionOf((await logIn('linked@corp')).reply)).subject, subject);

  await client.del(keys.access(own.pair.access.partition, own.pair.access.digest));
  const renewed = await get(href, browser(own, 'refresh'));
  t.equal(renewed.headers.location, onward.headers.location, 'after the access token expired too');
  t.equal(setCookies(renewed)[0]!.name, ACCESS_COOKIE);
  const [seconds] = await client.time();
  const old = await service.mint(subject, { authenticatedAt: Number(seconds) * 1000 - 121_000 });
  t.equal(
    (await get(href, browser(old))).headers.location,
    '/login?reason=insufficient_user_authentication&to=%2Fauth%2Flink%2Fcorp',
    'and from there back',
  );
  t.equal((await get(href)).headers.location, '/login?reason=missing&to=%2Fauth%2Flink%2Fcorp');
  t.equal((await get('/auth/link/nobody', browser(own))).statusCode, 404);
});

t.test('the account page removes a linked account', async (t) => {
  const { subject, username } = await service.register();
  const own = await service.mint(subject);
  await logIn('removed@corp', { query: '?link=1', headers: browser(own) });
  const { body } = await get('/account', browser(own));
  t.match(textOf({ body }), /corp account linked on \w+ \d+, \d{4}/);
  const link = /name="link" value="([\w-]{43})"/.exec(body)![1]!;
  const remove = (headers: Record<string, string>, id = link) =>
    formPoster(service)('/auth/form/unlink', { link: id }, headers);
  const [seconds] = await client.time();
  const old = await service.mint(subject, { authenticatedAt: Number(seconds) * 1000 - 121_000 });
  t.equal(
    (await remove(browser(old))).headers.location,
    '/login?reason=insufficient_user_authentication&to=%2Faccount',
  );
  t.equal((await remove({ ...browser(own), 'sec-fetch-site': 'cross-site' })).statusCode, 403);
  t.equal((await remove(browser(own), 'x'.repeat(43))).statusCode, 404);
  const removed = await remove(browser(own));
  t.equal(removed.headers.location, '/account?done=unlinked');
  t.match(textOf(await get('/account?done=unlinked', browser(own))), 'The account is no longer linked');
  t.notMatch((await get('/account', browser(own))).body, 'name="link"');
  t.not((await sessionOf((await logIn('removed@corp')).reply)).subject, subject, 'it is somebody new from then on');
  t.match((await post('/auth/login', { username, password: PASSWORD })).statusCode, 200);

  const { reply } = await logIn('provider-only');
  const cookies = new CookieJar();
  cookies.keep(reply);
  const page = await get('/account', cookies.headers('/account'));
  const only = /name="link" value="([\w-]{43})"/.exec(page.body)![1]!;
  const kept = await remove({ ...cookies.headers('/auth/form/unlink'), 'sec-fetch-site': 'same-origin' }, only);
  t.equal(kept.statusCode, 409);
  t.match(textOf(kept), 'This is your only way to log in.');
});

t.test(
  'linked accounts are listed, and one that is unlinked leads to nobody and ends what began with it',
  async (t) => {
    const { subject } = await service.register();
    const own = await service.mint(subject);
    const linked = async () =>
      (await get('/auth/links', bearer(own))).json<{ links: { id: string; provider: string; linked_at: number }[] }>()
        .links;
    const unlink = (id: string, headers = bearer(own) as Record<string, string>) =>
      service.inject({ method: 'DELETE', url: `/auth/links/${id}`, headers });
    t.same(await linked(), []);
    await logIn('first@corp', { query: '?link=1', headers: browser(own) });
    await logIn('second@corp', { query: '?link=1', headers: browser(own) });
    const [first, second] = (await linked()) as [{ id: string; provider: string; linked_at: number }, { id: string }];
    t.match(first, { id: /^[\w-]{43}$/, provider: 'corp' });
    t.ok(Math.abs(first.linked_at - Date.now() / 1000) < 60);
    t.not(second.id, first.id);

    const began = (await logIn('first@corp')).reply;
    t.equal((await sessionOf(began)).status, 200);
    const stranger = await service.mint();
    t.equal((await unlink(first.id, bearer(stranger))).statusCode, 404, 'nobody else unlinks it');
    t.equal((await unlink(first.id, { ...browser(own), 'sec-fetch-site': 'cross-site' })).statusCode, 403);
    const [seconds] = await client.time();
    const old = await service.mint(subject, { authenticatedAt: Number(seconds) * 1000 - 121_000 });
    t.match((await unlink(first.id, bearer(old))).json(), { code: 'insufficient_user_authentication' });
    t.match((await unlink(first.id, bearer(old))).headers['www-authenticate'], 'max_age="120"');
    t.equal((await linked()).length, 2);

    events.length = 0;
    t.equal((await unlink(first.id)).statusCode, 204);
    t.match(events[0], { event: 'account_unlink', outcome: 'success', subject, sessionId: own.principal.sessionId });
    t.match(events[1], { event: 'session_end', reason: 'logged_out_elsewhere', subject });
    t.same(
      (await linked()).map(({ id }) => id),
      [second.id],
    );
    t.equal((await sessionOf(began)).status, 401);
    t.equal((await get('/auth/session', bearer(own))).statusCode, 200, 'the session that asked goes on');
    t.not((await sessionOf((await logIn('first@corp')).reply)).subject, subject);
    t.equal((await unlink(first.id)).statusCode, 404);
    t.equal((await unlink(second.id)).statusCode, 204, 'the password is left');
    t.equal(await client.exists(keys.links(subject)), 0);
  },
);

t.test('the last way to log in is not taken away', async (t) => {
  const { headers } = await sessionOf((await logIn('only@corp')).reply);
  const [link] = (await get('/auth/links', headers)).json().links;
  const reply = await service.inject({ method: 'DELETE', url: `/auth/links/${link.id}`, headers });
  t.equal(reply.statusCode, 409);
  t.match(reply.json(), { code: 'last_login_method' });
  t.equal((await sessionOf((await logIn('only@corp')).reply)).status, 200);
});

t.test('what a list says counts only as far as the account says the same', async (t) => {
  const links = new Links(client, keys);
  const account = { issuer: provider.issuer, sub: 'contested' };
  t.equal(await links.link(account, 'first-subject', 'corp'), 'first-subject');
  t.equal(await links.link(account, 'second-subject', 'corp'), 'first-subject');
  t.same(await links.list('second-subject'), []);
  const [link] = await links.list('first-subject');
  await client.hset(keys.links('second-subject'), link!.id, JSON.stringify({ provider: 'corp', linkedAt: 1 }));
  t.same(await links.list('second-subject'), []);
  await links.unlink('second-subject', link!.id);
  t.equal(await links.findSubject(account), 'first-subject');
  t.equal(await client.exists(keys.links('second-subject')), 0);
});

t.test('a login there that was before the link was asked for is not enough', async (t) => {
  const { subject } = await service.register();
  const own = browser(await service.mint(subject));
  const begun = await start('?link=1', own);
  const state = new URL(begun.headers.location!).searchParams.get('state')!;
  const key = keys.oidc('login', createHash('sha256').update(state).digest('base64url'));
  const back = await provider.authorize(begun.headers.location!, 'thief@corp');
  const attempt = JSON.parse((await client.get(key))!);
  t.ok(Math.abs(attempt.link.begunAt - Date.now()) < 60_000);
  await client.set(
    key,
    JSON.stringify({ ...attempt, link: { subject, begunAt: attempt.link.begunAt + 120_000 } }),
    'KEEPTTL',
  );
  refused(t, await get(pathOf(back), { cookie: `${cookieOf(begun)}; ${own.cookie}` }));
  t.match(events.at(-1), { event: 'account_link', outcome: 'failure', reason: 'old_login', subject });
  t.not((await sessionOf((await logIn('thief@corp')).reply)).subject, subject);
});

t.test('linking: only by who is logged in, just now; then both ways lead to the same user', async (t) => {
  t.equal((await start('?link=1')).statusCode, 401);
  const [seconds] = await client.time();
  const old = await service.mint('joan', { authenticatedAt: Number(seconds) * 1000 - 121_000 });
  t.match((await start('?link=1', bearer(old))).json(), { code: 'insufficient_user_authentication' });

  const { subject } = await service.register('joan');
  const own = browser(await service.mint(subject));
  const { begun, reply } = await logIn('joan@corp', { query: '?link=1', headers: own });
  t.equal(new URL(begun.headers.location!).searchParams.get('prompt'), 'login');
  t.equal(reply.headers.location, '/account');
  t.same(setCookies(reply), [], 'the session is the one that there was');
  t.match(events.at(-1), { event: 'account_link', outcome: 'success', subject });
  t.match(await sessionOf((await logIn('joan@corp')).reply), { subject, username: 'joan' });

  const stranger = browser(await service.mint());
  refused(t, (await logIn('joan@corp', { query: '?link=1', headers: stranger })).reply);
  t.match(events.at(-1), { event: 'account_link', outcome: 'failure', reason: 'linked_to_another' });
  t.equal((await sessionOf((await logIn('joan@corp')).reply)).subject, subject, 'it still is hers');
});

t.test('a link is made only for whoever asked for it', async (t) => {
  const begun = await start('?link=1', browser(await service.mint()));
  const back = pathOf(await provider.authorize(begun.headers.location!, 'katherine'));
  refused(t, await get(back, { cookie: `${cookieOf(begun)}; ${browser(await service.mint()).cookie}` }));
  const other = await start('?link=1', browser(await service.mint()));
  refused(
    t,
    await get(pathOf(await provider.authorize(other.headers.location!, 'katherine')), { cookie: cookieOf(other) }),
    'authentication_required',
  );
});

t.test('a subject that is disabled cannot log in', async (t) => {
  const { subject } = await sessionOf((await logIn('disabled')).reply);
  await client.hset(keys.user(subject), 'disabledAt', '1');
  refused(t, (await logIn('disabled')).reply, 'invalid_credentials', '/account');
});

t.test('back-channel logout: the provider ends the session that began there, and no other', async (t) => {
  const elsewhere = await sessionOf((await logIn('dorothy')).reply);
  const session = await sessionOf((await logIn('dorothy')).reply);
  const own = await service.mint(session.subject);
  await provider.logout();
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/session', elsewhere.headers)).statusCode, 200);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
  t.match(events.at(-1), {
    event: 'session_end',
    reason: 'revoked',
    subject: session.subject,
    sessionId: session.session_id,
    actor: 'corp',
  });
});

t.test(
  'a browser logs out at the provider too, and comes back to the login page; its session here ends with it',
  async (t) => {
    const session = await sessionOf((await logIn('dorothy')).reply);
    const { sid } = session.data.oidc;
    const away = await get(`/auth/oidc/corp/logout?sid=${sid}`, { host });
    t.equal(away.statusCode, 303);
    const query = { client_id: CLIENT.clientId, post_logout_redirect_uri: `${service.url}/login` };
    t.strictSame(Object.fromEntries(new URL(away.headers.location!).searchParams), { ...query, logout_hint: sid });
    const unhinted = await get('/auth/oidc/corp/logout', { host });
    t.strictSame(Object.fromEntries(new URL(unhinted.headers.location!).searchParams), query);
    t.equal(await provider.logout(away.headers.location), `${service.url}/login`);
    t.equal((await get('/auth/session', session.headers)).statusCode, 401);
    t.equal((await get('/auth/oidc/nobody/logout')).statusCode, 404);
  },
);

t.test('who logs out on the account page is led on to the provider that the session began with', async (t) => {
  const form = formPoster(service);
  for (const [scope, only] of [
    ['session', undefined],
    ['all', undefined],
    ['session', 'the refresh token'],
  ] as const) {
    const { reply } = await logIn('dorothy');
    const { session_id: id, subject, data } = await sessionOf(reply);
    const jar = new CookieJar();
    jar.keep(reply);
    if (only) {
      const { access, previous } = await client.hgetall(keys.session(partitionOf(subject), id));
      for (const digest of [access, previous]) if (digest) await client.del(keys.access(partitionOf(subject), digest));
    }
    const page = await form('/auth/form/logout', { scope }, jar.headers('/auth/form/logout'));
    jar.keep(page);
    t.strictSame([jar.value(ACCESS_COOKIE), jar.value(REFRESH_COOKIE)], [undefined, undefined]);
    t.equal(page.statusCode, 200);
    const href = `/auth/oidc/corp/logout?sid=${data.oidc.sid}`;
    t.equal(page.headers.refresh, `0;url=${href}`);
    t.match(textOf(page), 'You are logged out. Log out of corp too');
    t.match(page.body, `<a href="${href.replace('=', '&#61;')}">`);
    t.equal(await provider.logout((await get(href, { host })).headers.location), `${service.url}/login`);
  }
  const others = await logIn('dorothy');
  const jar = new CookieJar();
  jar.keep(others.reply);
  t.equal(
    (await form('/auth/form/logout', { scope: 'others' }, jar.headers('/auth/form/logout'))).headers.location,
    '/account?done=others_ended',
  );
  for (const [oidc, leads] of [
    [{ provider: 'corp' }, '0;url=/auth/oidc/corp/logout'],
    [{ provider: 'of old' }, undefined],
  ] as const) {
    const own = await service.mint('dorothy', {
      identity: { subject: 'dorothy', methods: ['federated'], data: { oidc } },
    });
    const reply = await form('/auth/form/logout', { scope: 'session' }, { ...browser(own), ...GERMAN });
    t.equal(reply.headers.refresh, leads);
    if (leads) t.match(textOf(reply), 'Sie sind abgemeldet. Auch bei corp abmelden');
    else t.equal(reply.headers.location, '/login?reason=logged_out&to=%2Faccount');
  }
});

t.test('back-channel logout by subject ends all that began there; each token counts once', async (t) => {
  const sessions = [await sessionOf((await logIn('mary')).reply), await sessionOf((await logIn('mary')).reply)];
  const own = await service.mint(sessions[0]!.subject);
  const token = await logoutToken({ sub: 'mary' });
  t.equal((await logOut(token)).statusCode, 200);
  for (const session of sessions) t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
  t.equal((await logOut(token)).statusCode, 400, 'a replay');
  t.equal((await logOut(await logoutToken({ sub: 'somebody that we do not know' }))).statusCode, 200);
});

t.test('a logout token whose sessions could not be ended is taken again', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const token = await logoutToken({ sub: 'mary' });
  const admin = service.redis.client();
  await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  t.equal((await logOut(token)).statusCode, 503);
  await admin.call('CLIENT', 'UNPAUSE');
  t.equal((await logOut(token)).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
});

t.test('back-channel logout by the session there alone ends what began with it, and nothing else', async (t) => {
  const [first, second] = [await sessionOf((await logIn('mary')).reply), await sessionOf((await logIn('mary')).reply)];
  const own = await service.mint(first.subject);
  const { sid } = first.data.oidc;
  const key = keys.oidc(
    'session',
    createHash('sha256')
      .update(JSON.stringify([provider.issuer, sid]))
      .digest('base64url'),
  );
  t.equal(await client.get(key), first.subject);
  const left = (await client.pttl(key)) - service.config.sessionLifetimeMs;
  t.ok(left > 0 && left <= 60_000, 'for as long as the session can live, and no longer than a minute more');

  t.equal(
    (await logOut(await logoutToken({ sub: undefined, sid: 'of somebody that we do not know' }))).statusCode,
    200,
  );
  t.equal(
    (await logOut(await logoutToken({ sub: undefined, sid }), 'other')).statusCode,
    200,
    'of another client of that provider',
  );
  for (const { headers } of [first, second]) t.equal((await get('/auth/session', headers)).statusCode, 200);

  const token = await logoutToken({ sub: undefined, sid });
  t.equal((await logOut(token)).statusCode, 200);
  t.equal((await get('/auth/session', first.headers)).statusCode, 401);
  for (const headers of [second.headers, bearer(own)]) t.equal((await get('/auth/session', headers)).statusCode, 200);
  t.equal((await logOut(token)).statusCode, 400, 'a replay');
});

t.test('a logout token that is not one is refused, and ends nothing', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const { privateKey } = await generateKeyPair('RS256');
  const wrong: [string, string][] = [
    ['nothing', ''],
    ['no token', 'x'],
    ['another key', await logoutToken({}, { key: privateKey })],
    ['another issuer', await logoutToken({ iss: 'https://evil.example' })],
    ['another audience', await logoutToken({ aud: 'another' })],
    ['an ID token', await logoutToken({}, { typ: 'JWT' })],
    ['a nonce', await logoutToken({ nonce: 'x' })],
    ['no events', await logoutToken({ events: undefined })],
    ['another event', await logoutToken({ events: { other: {} } })],
    ['an event that is null', await logoutToken({ events: { [EVENT]: null } })],
    ['no jti', await logoutToken({ jti: undefined })],
    ['a jti that is a number', await logoutToken({ jti: 1 })],
    ['neither a subject nor a session', await logoutToken({ sub: undefined })],
    ['a subject that is null, with a session', await logoutToken({ sub: null, sid: session.data.oidc.sid })],
    ['a sid that is null, without a subject', await logoutToken({ sub: undefined, sid: null })],
    ['a subject that is a number', await logoutToken({ sub: 1 })],
    ['a sid that is a number', await logoutToken({ sid: 1 })],
    ['expired', await logoutToken({ exp: Math.floor(Date.now() / 1000) - 60 })],
    ['old', await logoutToken({ iat: Math.floor(Date.now() / 1000) - 700 })],
  ];
  for (const [what, token] of wrong) {
    const reply = await logOut(token);
    t.equal(reply.statusCode, 400, what);
    t.match(reply.json(), { code: 'invalid_request' });
  }
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
  t.equal((await logOut('x', 'nobody')).statusCode, 404);
  t.equal((await logOut(await logoutToken({ sid: 'of another session' }))).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
});

t.test('where registration is closed, an account that nobody linked is refused', async (t) => {
  const strict = await startProvider();
  const closed = await startService({
    oidcProviders: [{ name: 'corp', issuer: strict.issuer, ...CLIENT }],
    registration: 'closed',
    publicOrigins: ['https://app.example'],
  });
  t.teardown(() => Promise.all([closed.close(), strict.close()]));
  strict.configure({
    redirectUris: ['https://app.example/auth/oidc/corp/callback'],
    backchannelLogoutUri: 'https://app.example/',
  });
  const begun = await closed.get('/auth/oidc/corp', { host: 'elsewhere.example' });
  const back = await strict.authorize(begun.headers.location!, 'new');
  t.match(back, /^https:\/\/app\.example\//, 'to the origin of ours, whatever the request says');
  refused(t, await closed.get(pathOf(back), { cookie: cookieOf(begun) }), 'registration_closed', '/account');
  const digest = createHash('sha256')
    .update(JSON.stringify([strict.issuer, 'linked']))
    .digest('base64url');
  await closed.client.set(closed.keys.oidc('link', digest), 'joan');
  const once = await closed.get('/auth/oidc/corp');
  const url = await strict.authorize(once.headers.location!, 'linked');
  const reply = await closed.get(pathOf(url), { cookie: cookieOf(once) });
  t.equal(setCookies(reply).length, 2, 'one that is linked is not');
  t.same(await closed.client.keys('*oidc:session:*'), [], 'it tells no session');
  t.equal((await closed.get('/auth/oidc/corp/logout')).headers.location, '/login', 'nor has it a page to log out');
});

t.test('a login whose time the provider does not tell is not recent, whatever it was asked for', async (t) => {
  const silent = await startProvider();
  const host = await startService({ oidcProviders: [{ name: 'corp', issuer: silent.issuer, ...CLIENT }] });
  t.teardown(() => Promise.all([host.close(), silent.close()]));
  silent.configure({ redirectUris: [`${host.url}/auth/oidc/corp/callback`], backchannelLogoutUri: `${host.url}/` });
  const authenticatedAt = async (query: string, { tampered = false } = {}) => {
    const begun = await host.get(`/auth/oidc/corp${query}`, { host: new URL(host.url).host });
    const url = new URL(begun.headers.location!);
    // Whoever sits at the browser can change what it asks for.
    if (tampered) for (const name of ['max_age', 'prompt']) url.searchParams.delete(name);
    const reply = await host.get(pathOf(await silent.authorize(url.href, 'ada')), { cookie: cookieOf(begun) });
    const access = setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value;
    return (await host.get('/auth/session', { authorization: `Bearer ${access}` })).json<{ authenticated_at: number }>()
      .authenticated_at;
  };
  const isNow = (seconds: number) => Math.abs(Date.now() / 1000 - seconds) < 60;
  t.ok(isNow(await authenticatedAt('')), 'the provider tells it');
  t.equal(await authenticatedAt('', { tampered: true }), 0);
  t.equal(await authenticatedAt('?prompt=login', { tampered: true }), 0);
});

t.test('from one network only so many logins are begun in ten minutes, since Redis keeps each of them', async (t) => {
  const host = await startService({ oidcProviders, providerLoginsPerNetwork: 2 });
  t.teardown(() => host.close());
  const begin = (remoteAddress: string) => host.inject({ url: '/auth/oidc/corp', remoteAddress });
  for (const status of [303, 303, 429]) t.equal((await begin('2001:db8::1')).statusCode, status);
  t.match((await begin('2001:db8::2')).headers['retry-after'], /^(5\d\d|600)$/, 'the whole /64 waits');
  t.equal((await begin('192.0.2.1')).statusCode, 303);
  t.equal((await host.client.keys('*oidc:login:*')).length, 3);
});

t.test('an outage of Redis is a 503, not a failed login', async (t) => {
  const { cookie } = await logIn('ada');
  service.redis.pause();
  t.equal((await get('/auth/oidc/corp/callback?state=x&code=y', { cookie })).statusCode, 503);
  service.redis.resume();
});
