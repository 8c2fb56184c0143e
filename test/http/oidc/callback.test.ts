import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { toSessionDetails } from '../../../src/http/oidc/login-with-provider.js';
import { CLIENT_SECRET } from '../../support/oauth-client.js';
import { ACR, CLIENT, startProvider } from '../../support/provider.js';
import { timeInRedis } from '../../support/redis/expiry.js';
import { ACCESS_COOKIE, bearer, browser, CookieJar, setCookies, startService } from '../../support/service.js';
import {
  assertLoginRefused,
  client,
  cookieOf,
  events,
  get,
  keys,
  logIn,
  OIDC_COOKIE,
  pathOf,
  post,
  provider,
  service,
  sessionOf,
  start,
} from './support.js';

t.test('a login issues a session with what the ID token says, and the next login has the same subject', async (t) => {
  const { result, from, to } = await timeInRedis(client, () => logIn('ada', { query: '?to=/reports' }));
  const { reply } = result;
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/reports');
  const session = await sessionOf(reply);
  t.match(session, { status: 200, methods: ['federated'], data: { oidc: { provider: 'corp', sid: /./ } } });
  t.ok(session.authenticated_at >= Math.floor(from / 1000) && session.authenticated_at <= to / 1000);
  t.match(session.subject, /^[\w-]{22}$/, 'the subject is not the one of the provider');
  const again = await sessionOf((await logIn('ada')).reply);
  t.equal(again.subject, session.subject);
  t.not((await sessionOf((await logIn('grace')).reply)).subject, session.subject);
  t.match(events.at(-1), { event: 'login', outcome: 'success' });
});

t.test('introspection reports the acr of the ID token that the session began with', async (t) => {
  for (const acr of [ACR, undefined]) {
    const { reply } = await logIn('ada', acr === undefined ? {} : { acr });
    const form = {
      token: setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value,
      client_id: 'resource-server',
      client_secret: CLIENT_SECRET,
    };
    const answer = await post('/oauth/introspect', new URLSearchParams(form).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
    });
    t.equal(answer.json().active, true);
    t.equal(answer.json().acr, acr);
  }
});

t.test('a login supersedes the session of this browser if it belongs to the same user', async (t) => {
  const first = await logIn('ada');
  const jar = new CookieJar();
  jar.keep(first.reply);
  const { cookie } = jar.headers('/auth');
  const second = await sessionOf((await logIn('ada', { headers: { cookie } })).reply);
  t.equal((await sessionOf(first.reply)).status, 401);
  t.match(await service.store.listEndedSessions(second.subject), [{ reason: 'superseded' }]);
  t.equal((await get('/auth/session', second.headers)).statusCode, 200);

  const stranger = await service.mint();
  await sessionOf((await logIn('ada', { headers: browser(stranger) })).reply);
  t.equal((await get('/auth/session', bearer(stranger))).statusCode, 200, 'the session of another user goes on');
});

t.test('a session keeps the amr, acr and sid of the ID token', async (t) => {
  t.strictSame(toSessionDetails('corp', { amr: ['pwd', 'otp'], acr: 'urn:two-factors', sid: 's' }), {
    methods: ['pwd', 'otp'],
    data: { oidc: { provider: 'corp', sid: 's', acr: 'urn:two-factors' } },
  });
  t.strictSame(toSessionDetails('corp', {}), { methods: ['federated'], data: { oidc: { provider: 'corp' } } });
});

t.test('refuses a callback that is repeated, or comes from another browser or provider', async (t) => {
  const { back, cookie } = await logIn('ada');
  assertLoginRefused(t, await get(pathOf(back), { cookie }));
  for (const headers of [
    {},
    { cookie: `${OIDC_COOKIE}=${randomBytes(32).toString('base64url')}` },
    { cookie: `${OIDC_COOKIE}=x` },
  ]) {
    const begun = await start();
    const url = pathOf(await provider.authorize(begun.headers.location!, 'ada'));
    assertLoginRefused(t, await get(url, headers));
    assertLoginRefused(t, await get(url, { cookie: cookieOf(begun) }), undefined);
  }
  const begun = await start();
  const url = pathOf(await provider.authorize(begun.headers.location!, 'ada'));
  assertLoginRefused(t, await get(url.replace('/corp/', '/other/'), { cookie: cookieOf(begun) }));
  assertLoginRefused(t, await get('/auth/oidc/corp/callback?state=made-up&code=x'));
  t.match(events.at(-1), { event: 'login', outcome: 'failure', reason: 'unknown_state' });
});

t.test('refuses a callback with a wrong nonce, issuer or verifier, and one with an error', async (t) => {
  const flaws: [string, (url: URL, key: string) => Promise<unknown>][] = [
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
  for (const [flaw, tamper] of flaws) {
    const begun = await start('?to=/reports');
    const state = new URL(begun.headers.location!).searchParams.get('state')!;
    const back = new URL(await provider.authorize(begun.headers.location!, 'ada'));
    await tamper(back, keys.loginAttempt(createHash('sha256').update(state).digest('base64url')));
    assertLoginRefused(t, await get(pathOf(back.href), { cookie: cookieOf(begun) }), undefined, '/reports');
    t.match(events.at(-1), { outcome: 'failure', reason: 'refused_answer' }, flaw);
  }
});

t.test('refuses the login of a disabled subject', async (t) => {
  const { subject } = await sessionOf((await logIn('disabled')).reply);
  await client.hset(keys.user(subject), 'disabledAt', '1');
  assertLoginRefused(t, (await logIn('disabled')).reply, 'invalid_credentials', '/account');
});

t.test('refuses an account that is not linked while registration is closed', async (t) => {
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
  t.match(back, /^https:\/\/app\.example\//, 'the callback is on our public origin, whatever the Host header says');
  assertLoginRefused(t, await closed.get(pathOf(back), { cookie: cookieOf(begun) }), 'registration_closed', '/account');
  const digest = createHash('sha256')
    .update(JSON.stringify([strict.issuer, 'linked']))
    .digest('base64url');
  await closed.client.set(closed.keys.link(digest), 'joan');
  const once = await closed.get('/auth/oidc/corp');
  const url = await strict.authorize(once.headers.location!, 'linked');
  const reply = await closed.get(pathOf(url), { cookie: cookieOf(once) });
  t.equal(setCookies(reply).length, 2, 'a linked account logs in');
  t.same(await closed.client.keys('*oidc:session:*'), [], 'no provider session is kept if the ID token has no sid');
  t.equal(
    (await closed.get('/auth/oidc/corp/logout')).headers.location,
    '/login',
    'a provider without a logout endpoint is left out',
  );
});

t.test('a login counts as long ago if the provider does not state its time, whatever was requested', async (t) => {
  const silent = await startProvider();
  const host = await startService({ oidcProviders: [{ name: 'corp', issuer: silent.issuer, ...CLIENT }] });
  t.teardown(() => Promise.all([host.close(), silent.close()]));
  silent.configure({ redirectUris: [`${host.url}/auth/oidc/corp/callback`], backchannelLogoutUri: `${host.url}/` });
  const authenticatedAt = async (query: string, { tampered = false } = {}) => {
    const begun = await host.get(`/auth/oidc/corp${query}`, { host: new URL(host.url).host });
    const url = new URL(begun.headers.location!);
    // The user can change the request of the browser.
    if (tampered) for (const name of ['max_age', 'prompt']) url.searchParams.delete(name);
    const reply = await host.get(pathOf(await silent.authorize(url.href, 'ada')), { cookie: cookieOf(begun) });
    const access = setCookies(reply).find(({ name }) => name === ACCESS_COOKIE)!.value;
    return (await host.get('/auth/session', { authorization: `Bearer ${access}` })).json<{ authenticated_at: number }>()
      .authenticated_at;
  };
  const { result: stated, from, to } = await timeInRedis(host.client, () => authenticatedAt(''));
  t.ok(
    stated >= Math.floor(from / 1000) && stated <= to / 1000,
    'the provider states auth_time if max_age is requested',
  );
  t.equal(await authenticatedAt('', { tampered: true }), 0);
  t.equal(await authenticatedAt('?prompt=login', { tampered: true }), 0);
});

t.test('the callback replies 503 while Redis does not answer: an outage is not a failed login', async (t) => {
  const { cookie } = await logIn('ada');
  service.redis.pause();
  t.equal((await get('/auth/oidc/corp/callback?state=x&code=y', { cookie })).statusCode, 503);
  service.redis.resume();
});
