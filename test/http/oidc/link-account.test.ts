import { createHash } from 'node:crypto';
import t from 'tap';
import { readRedisTime } from '../../../src/redis/clock.js';
import { timeInRedis } from '../../support/redis/expiry.js';
import { ACCESS_COOKIE, bearer, browser, CookieJar, PASSWORD, setCookies } from '../../support/service.js';
import { formPoster, GERMAN, textOf } from '../pages/support.js';
import {
  assertLoginRefused,
  client,
  cookieOf,
  events,
  get,
  keys,
  logIn,
  pathOf,
  post,
  provider,
  service,
  sessionOf,
  start,
} from './support.js';

/** Mints a session whose login is too old for adding or removing a login method. */
async function mintWithOldLogin(subject: string) {
  return service.mint(subject, { authenticatedAt: (await readRedisTime(client)) - 121_000 });
}

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
  t.equal(renewed.headers.location, onward.headers.location, 'the link works with an expired access token');
  t.equal(setCookies(renewed)[0]!.name, ACCESS_COOKIE);
  const old = await mintWithOldLogin(subject);
  t.equal(
    (await get(href, browser(old))).headers.location,
    '/login?reason=insufficient_user_authentication&to=%2Fauth%2Flink%2Fcorp',
    'after a new login the user comes back to the link',
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
  const old = await mintWithOldLogin(subject);
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
  t.not(
    (await sessionOf((await logIn('removed@corp')).reply)).subject,
    subject,
    'a removed account logs in as a new user',
  );
  t.equal((await post('/auth/login', { username, password: PASSWORD })).statusCode, 200);

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
  'lists linked accounts; unlinking one frees it and ends the sessions that began with its provider',
  async (t) => {
    const { subject } = await service.register();
    const own = await service.mint(subject);
    const linked = async () =>
      (await get('/auth/links', bearer(own))).json<{ links: { id: string; provider: string; linked_at: number }[] }>()
        .links;
    const unlink = (id: string, headers = bearer(own) as Record<string, string>) =>
      service.inject({ method: 'DELETE', url: `/auth/links/${id}`, headers });
    t.same(await linked(), []);
    const { from, to } = await timeInRedis(client, () =>
      logIn('first@corp', { query: '?link=1', headers: browser(own) }),
    );
    await logIn('second@corp', { query: '?link=1', headers: browser(own) });
    const [first, second] = (await linked()) as [{ id: string; provider: string; linked_at: number }, { id: string }];
    t.match(first, { id: /^[\w-]{43}$/, provider: 'corp' });
    t.ok(first.linked_at >= Math.floor(from / 1000) && first.linked_at <= to / 1000);
    t.not(second.id, first.id);

    const began = (await logIn('first@corp')).reply;
    t.equal((await sessionOf(began)).status, 200);
    const stranger = await service.mint();
    t.equal((await unlink(first.id, bearer(stranger))).statusCode, 404, 'another user cannot unlink it');
    t.equal((await unlink(first.id, { ...browser(own), 'sec-fetch-site': 'cross-site' })).statusCode, 403);
    const old = await mintWithOldLogin(subject);
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
    t.equal((await get('/auth/session', bearer(own))).statusCode, 200, 'the requesting session goes on');
    t.not((await sessionOf((await logIn('first@corp')).reply)).subject, subject);
    t.equal((await unlink(first.id)).statusCode, 404);
    t.equal((await unlink(second.id)).statusCode, 204, 'the last account can be unlinked if the user has a password');
    t.equal(await client.exists(keys.links(subject)), 0);
  },
);

t.test('refuses to unlink the only way to log in', async (t) => {
  const { headers } = await sessionOf((await logIn('only@corp')).reply);
  const [link] = (await get('/auth/links', headers)).json().links;
  const reply = await service.inject({ method: 'DELETE', url: `/auth/links/${link.id}`, headers });
  t.equal(reply.statusCode, 409);
  t.match(reply.json(), { code: 'last_login_method' });
  t.equal((await sessionOf((await logIn('only@corp')).reply)).status, 200);
});

t.test('refuses to link an account with a login at the provider that is older than the request to link', async (t) => {
  const { subject } = await service.register();
  const own = browser(await service.mint(subject));
  const { result: begun, from, to } = await timeInRedis(client, () => start('?link=1', own));
  const state = new URL(begun.headers.location!).searchParams.get('state')!;
  const key = keys.loginAttempt(createHash('sha256').update(state).digest('base64url'));
  const back = await provider.authorize(begun.headers.location!, 'thief@corp');
  const attempt = JSON.parse((await client.get(key))!);
  t.ok(attempt.link.begunAt >= from && attempt.link.begunAt <= to);
  await client.set(
    key,
    JSON.stringify({ ...attempt, link: { subject, begunAt: attempt.link.begunAt + 120_000 } }),
    'KEEPTTL',
  );
  assertLoginRefused(t, await get(pathOf(back), { cookie: `${cookieOf(begun)}; ${own.cookie}` }));
  t.match(events.at(-1), { event: 'account_link', outcome: 'failure', reason: 'old_login', subject });
  t.not((await sessionOf((await logIn('thief@corp')).reply)).subject, subject);
});

t.test('links an account for a user who has just logged in; both logins then lead to the same subject', async (t) => {
  t.equal((await start('?link=1')).statusCode, 401);
  const old = await mintWithOldLogin('joan');
  t.match((await start('?link=1', bearer(old))).json(), { code: 'insufficient_user_authentication' });

  const { subject } = await service.register('joan');
  const own = browser(await service.mint(subject));
  const { begun, reply } = await logIn('joan@corp', { query: '?link=1', headers: own });
  t.equal(new URL(begun.headers.location!).searchParams.get('prompt'), 'login');
  t.equal(reply.headers.location, '/account');
  t.same(setCookies(reply), [], 'linking issues no session');
  t.match(events.at(-1), { event: 'account_link', outcome: 'success', subject });
  t.match(await sessionOf((await logIn('joan@corp')).reply), { subject, username: 'joan' });

  const stranger = browser(await service.mint());
  assertLoginRefused(t, (await logIn('joan@corp', { query: '?link=1', headers: stranger })).reply);
  t.match(events.at(-1), { event: 'account_link', outcome: 'failure', reason: 'linked_to_another' });
  t.equal(
    (await sessionOf((await logIn('joan@corp')).reply)).subject,
    subject,
    'the account stays linked to the first user',
  );
});

t.test('refuses to link an account for anybody but the user who asked for it', async (t) => {
  const begun = await start('?link=1', browser(await service.mint()));
  const back = pathOf(await provider.authorize(begun.headers.location!, 'katherine'));
  assertLoginRefused(t, await get(back, { cookie: `${cookieOf(begun)}; ${browser(await service.mint()).cookie}` }));
  const other = await start('?link=1', browser(await service.mint()));
  assertLoginRefused(
    t,
    await get(pathOf(await provider.authorize(other.headers.location!, 'katherine')), { cookie: cookieOf(other) }),
    'authentication_required',
  );
});
