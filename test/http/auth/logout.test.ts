import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  CookieJar,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { post, get, mint, client, keys, age, untilConfirmed, sessionStatus } = service;
const reasonOf = async ({ pair }: Awaited<ReturnType<typeof mint>>) =>
  (await post('/auth/refresh', { refresh_token: pair.refresh.token })).json().reason;

/** Mints three sessions of a user, and one of another user. */
const mintSessions = async () => {
  const own = await mint();
  const { subject } = own.principal;
  return { subject, own, others: [await mint(subject), await mint(subject)], stranger: await mint() };
};

t.test('a logout ends every session of the user by default', async (t) => {
  const { own, others, stranger, subject } = await mintSessions();
  const reply = await post('/auth/logout', undefined, bearer(own));
  t.equal(reply.statusCode, 204);
  t.equal(reply.body, '');
  for (const tokens of [own, ...others]) t.equal(await sessionStatus(tokens), 401);
  t.equal(await reasonOf(own), 'logged_out');
  t.same(await Promise.all(others.map(reasonOf)), ['logged_out_elsewhere', 'logged_out_elsewhere']);
  t.equal(await sessionStatus(stranger), 200, 'the session of another user goes on');

  const prefix = `${service.config.redisPrefix}{${own.pair.refresh.partition}}:`;
  const left = (await keysUnder(client, prefix)).map((key) => key.slice(prefix.length).split(':')[0]);
  t.same(left, ['ended', 'ended', 'ended', 'endings'], 'only the reasons are left of the user');
  t.equal(await client.exists(keys.sessions(subject)), 0);
});

t.test('a logout with scope all ends every session of the user', async (t) => {
  const { own, others } = await mintSessions();
  t.equal((await post('/auth/logout', { scope: 'all' }, browser(own))).statusCode, 204);
  for (const tokens of [own, ...others]) t.equal(await sessionStatus(tokens), 401);
});

t.test('a logout with scope session ends only the requesting session', async (t) => {
  const { own, others } = await mintSessions();
  const reply = await post('/auth/logout', { scope: 'session' }, browser(own));
  t.equal(reply.statusCode, 204);
  t.equal(await sessionStatus(own), 401);
  t.equal(await reasonOf(own), 'logged_out');
  for (const tokens of others) t.equal(await sessionStatus(tokens), 200);
});

t.test('a logout with scope others ends all but the requesting session, whose cookies stay', async (t) => {
  const { own, others } = await mintSessions();
  const reply = await post('/auth/logout', { scope: 'others' }, browser(own));
  t.equal(reply.statusCode, 204);
  t.same(setCookies(reply), []);
  t.equal(await sessionStatus(own), 200);
  t.equal((await post('/auth/refresh', {}, browser(own))).statusCode, 200);
  for (const tokens of others) t.equal(await reasonOf(tokens), 'logged_out_elsewhere');
});

t.test('a logout clears both cookies, each on its path', async (t) => {
  const jar = new CookieJar();
  jar.keep(await post('/auth/refresh', {}, browser(await mint())));
  t.equal(jar.size, 2);
  const reply = await post('/auth/logout', {}, jar.headers('/auth/logout'));
  t.same(reply.headers['set-cookie'], [
    `${ACCESS_COOKIE}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax`,
    `${REFRESH_COOKIE}=; Max-Age=0; Path=/auth; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax`,
  ]);
  jar.keep(reply);
  t.equal(jar.size, 0);
});

t.test('a logout accepts a refresh token, in the cookie or the body, when the access token has expired', async (t) => {
  for (const transport of ['cookie', 'body'] as const) {
    const { own, others } = await mintSessions();
    const { partition, digest } = own.pair.access;
    await client.del(keys.access(partition, digest));
    const reply =
      transport === 'cookie'
        ? await post('/auth/logout', undefined, browser(own))
        : await post('/auth/logout', { refresh_token: own.pair.refresh.token }, bearer(own));
    t.equal(reply.statusCode, 204);
    t.equal(await reasonOf(own), 'logged_out');
    for (const tokens of others) t.equal(await sessionStatus(tokens), 401);
  }
});

t.test('a logout accepts the current or the previous refresh token alone', async (t) => {
  const current = await mint();
  t.equal((await post('/auth/logout', { refresh_token: current.pair.refresh.token })).statusCode, 204);
  t.equal(await reasonOf(current), 'logged_out');

  const parent = await mint();
  t.equal((await post('/auth/refresh', { refresh_token: parent.pair.refresh.token })).statusCode, 200);
  t.equal((await post('/auth/logout', {}, browser(parent, 'refresh'))).statusCode, 204);
  t.equal(await reasonOf(parent), 'logged_out');
});

t.test('a logout with a reused refresh token ends only its session, and clears no cookie', async (t) => {
  const first = await mint();
  const other = await mint(first.principal.subject);
  let { token } = first.pair.refresh;
  for (let i = 0; i < 2; i++) {
    const body = (await post('/auth/refresh', { refresh_token: token })).json();
    token = body.refresh_token;
    await get('/auth/session', { authorization: `Bearer ${body.access_token}` });
    await untilConfirmed(first);
    await age(first, 30_000);
  }
  const reply = await post('/auth/logout', {}, browser(first, 'refresh'));
  t.equal(reply.statusCode, 403);
  t.match(reply.json(), { code: 'reauthentication_required', reason: 'reused' });
  t.same(setCookies(reply), []);
  t.equal(await reasonOf(first), 'reused');
  t.equal(await sessionStatus(other), 200);
});

t.test('a logout without a token or with invalid tokens is 401', async (t) => {
  const nothing = await post('/auth/logout');
  t.equal(nothing.statusCode, 401);
  t.match(nothing.json(), { code: 'authentication_required' });
  t.equal(nothing.headers['www-authenticate'], 'Bearer realm="latchkey"');

  const ended = await mint();
  await service.store.revoke(ended.principal.subject, ended.principal.sessionId, 'revoked');
  for (const [body, headers] of [
    [{}, browser(ended)],
    [{}, bearer(ended)],
    [{ refresh_token: 'lkr_x' }, {}],
    [{ refresh_token: ended.pair.refresh.token }, {}],
  ] as const) {
    const reply = await post('/auth/logout', body, headers);
    t.equal(reply.statusCode, 401);
    t.equal(reply.json().code, 'invalid_token');
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey", error="invalid_token"');
    t.same(setCookies(reply), [], 'a failed logout clears no cookie');
  }
  t.equal(await reasonOf(ended), 'revoked');
});

t.test('a logout with an unknown scope is 400 and ends nothing', async (t) => {
  const tokens = await mint();
  const reply = await post('/auth/logout', { scope: 'everything' }, browser(tokens));
  t.equal(reply.statusCode, 400);
  t.match(reply.json(), { errors: [{ field: 'body.scope', detail: 'Expected one of all, session, others' }] });
  t.equal(await sessionStatus(tokens), 200);
});
