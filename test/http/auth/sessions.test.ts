import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import t from 'tap';
import { partitionOf } from '../../../src/redis/keys.js';
import { assertLifetime, timeInRedis } from '../../support/redis/expiry.js';
import { ACCESS_COOKIE, bearer, browser, REFRESH_COOKIE, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, post, inject, mint, client, keys, sessionStatus } = service;
const other = await startService({}, { redis: service.redis });
t.teardown(() => other.close());
const end = (id: string, headers: Record<string, string>) =>
  inject({ method: 'DELETE', url: `/auth/sessions/${encodeURIComponent(id)}`, headers });

t.test('the session is returned to bearer clients and browsers', async (t) => {
  const tokens = await mint('a subject: any', {
    identity: { subject: 'a subject: any', methods: ['hwk', 'mfa'] },
  });
  const { sessionId } = tokens.pair.refresh;
  for (const headers of [
    bearer(tokens),
    browser(tokens),
    browser(tokens, 'access'),
    { authorization: `bEARER   ${tokens.pair.access.token} ` },
  ]) {
    const reply = await get('/auth/session', headers);
    t.equal(reply.statusCode, 200);
    t.same(reply.json(), {
      session_id: sessionId,
      subject: 'a subject: any',
      authenticated_at: Math.floor(tokens.principal.authenticatedAt / 1000),
      methods: ['hwk', 'mfa'],
      expires_at: Math.floor(tokens.principal.expiresAt / 1000),
    });
  }
});

t.test('the session includes its client, scope and data of the application', async (t) => {
  const data = { role: 'admin', nested: { list: [1, 'two', null] } };
  const identity = { subject: 's', username: 'ada', methods: [], client: 'app', scope: 'read write', data };
  const tokens = await mint('s', { identity });
  t.match((await get('/auth/session', bearer(tokens))).json(), {
    username: 'ada',
    client_id: 'app',
    scope: 'read write',
    data,
  });
});

t.test('an Authorization header of another scheme is ignored', async (t) => {
  const tokens = await mint();
  const both = { ...browser(tokens), authorization: 'Basic YWRhOnNlY3JldA==' };
  t.equal((await get('/auth/session', both)).statusCode, 200);
  t.equal((await get('/auth/session', { authorization: 'Bearer-like x' })).json().code, 'authentication_required');
});

t.test('a request without an access token is 401 with a challenge', async (t) => {
  const tokens = await mint();
  for (const headers of [{}, browser(tokens, 'refresh'), { cookie: `x${ACCESS_COOKIE}=1; other` }]) {
    const reply = await get('/auth/session', headers);
    t.equal(reply.statusCode, 401);
    t.equal(reply.headers['content-type'], 'application/problem+json');
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey"');
    t.match(reply.json(), { status: 401, code: 'authentication_required', title: 'Unauthorized' });
  }
});

t.test('an invalid access token is 401 invalid_token, and no cookie is cleared', async (t) => {
  const { pair } = await mint();
  const stranger = await other.mint();
  const flipped = pair.access.token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  for (const token of [stranger.pair.access.token, flipped, pair.refresh.token, 'lka_', 'x', '"']) {
    for (const headers of [{ authorization: `Bearer ${token}` }, { cookie: `${ACCESS_COOKIE}=${token}` }]) {
      const reply = await get('/auth/session', headers);
      t.equal(reply.statusCode, 401);
      t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey", error="invalid_token"');
      t.equal(reply.json().code, 'invalid_token');
      t.same(setCookies(reply), []);
      t.notOk(reply.body.includes(token.slice(4) || 'lka_'), 'the reply does not repeat the token');
    }
  }
  t.equal((await get('/auth/session', { cookie: `${ACCESS_COOKIE}=` })).json().code, 'invalid_token');
});

t.test('an access token expires after its lifetime, and its session goes on', async (t) => {
  const { result: tokens, ...span } = await timeInRedis(client, () => mint());
  const { access, refresh } = tokens.pair;
  const key = keys.access(access.partition, access.digest);
  await assertLifetime(t, client, key, 900_000, span);
  t.equal(await sessionStatus(tokens), 200);
  await client.pexpire(key, 0);
  t.equal(await sessionStatus(tokens), 401);
  t.equal((await post('/auth/refresh', { refresh_token: refresh.token })).statusCode, 200);
});

t.test('a revoked access token is 401 at once', async (t) => {
  const tokens = await mint();
  await service.store.revoke(tokens.principal.subject, tokens.pair.refresh.sessionId, 'revoked');
  t.equal(await sessionStatus(tokens), 401);
});

t.test('a token in two places, or a cookie that appears twice, is 400', async (t) => {
  const tokens = await mint();
  const { access, refresh } = tokens.pair;
  const twice = `${ACCESS_COOKIE}=${access.token}; ${ACCESS_COOKIE}=${access.token}`;
  for (const headers of [
    { ...browser(tokens), ...bearer(tokens) },
    { cookie: twice },
    { cookie: `a=b;${ACCESS_COOKIE} = ;${ACCESS_COOKIE}=` },
  ]) {
    const reply = await get('/auth/session', headers);
    t.equal(reply.statusCode, 400);
    t.equal(reply.json().code, 'ambiguous_credentials');
    t.notOk(reply.body.includes(access.token.slice(4)));
  }
  const refreshTwice = `${REFRESH_COOKIE}=${refresh.token}; ${REFRESH_COOKIE}=${refresh.token}`;
  for (const path of ['/auth/refresh', '/auth/logout']) {
    const reply = await post(path, {}, { cookie: refreshTwice, 'sec-fetch-site': 'same-origin' });
    t.equal(reply.json().code, 'ambiguous_credentials');
    const inBody = await post(path, { refresh_token: refresh.token }, browser(tokens, 'refresh'));
    t.equal(inBody.json().code, 'ambiguous_credentials');
  }
  t.equal((await get('/auth/continue', { cookie: refreshTwice })).json().code, 'ambiguous_credentials');
  t.ok(await client.exists(keys.session(refresh.partition, refresh.sessionId)), 'the session goes on');
});

t.test('a Bearer header without exactly one token is 400', async (t) => {
  const { pair } = await mint();
  for (const authorization of [
    'Bearer',
    'Bearer ',
    `Bearer ${pair.access.token} ${pair.access.token}`,
    `bearer ${pair.access.token}, x`,
  ]) {
    const reply = await get('/auth/session', { authorization });
    t.equal(reply.statusCode, 400);
    t.equal(reply.json().code, 'invalid_request');
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey", error="invalid_request"');
  }
});

t.test('a request with two Authorization headers is 400', async (t) => {
  const { authorization } = bearer(await mint());
  const headers = ['host', 'localhost', 'authorization', authorization, 'authorization', 'Bearer another'];
  const sent = request(`${service.url}/auth/session`, { headers }).end();
  const [reply] = (await once(sent, 'response')) as [IncomingMessage];
  t.equal(reply.statusCode, 400);
  t.match(await json(reply), { code: 'invalid_request', detail: /The Authorization header must be/ });
});

t.test('the first use of a fresh access token confirms its pair', async (t) => {
  const first = await mint();
  const { partition, sessionId } = first.pair.refresh;
  const confirmed = () => client.hexists(keys.session(partition, sessionId), 'confirmedAt');
  const refreshed = await post('/auth/refresh', { refresh_token: first.pair.refresh.token });
  t.equal(refreshed.statusCode, 200);
  t.equal(await confirmed(), 0);
  await get('/auth/session', { authorization: `Bearer ${refreshed.json().access_token}` });
  await service.untilConfirmed(first);
  t.equal(await confirmed(), 1);
});

t.test('the sessions of the user are listed, the requesting one marked', async (t) => {
  const phone = await mint('me', {
    origin: { device: 'Safari 19 · iOS', address: '2001:db8::1' },
    authenticatedAt: 1_700_000_000_999,
  });
  const laptop = await mint('me');
  const reply = await get('/auth/sessions', bearer(laptop));
  t.equal(reply.statusCode, 200);
  const { sessions } = reply.json<{ sessions: { id: string }[] }>();
  t.equal(sessions.length, 2);
  const device = sessions.find(({ id }) => id === phone.principal.sessionId)!;
  t.match(device, {
    current: false,
    device: 'Safari 19 · iOS',
    address: '2001:db8::1',
    methods: ['pwd'],
    authenticated_at: 1_700_000_000,
  });
  t.match(device, { created_at: Number, renewed_at: Number, ends_at: Number });
  const own = sessions.find(({ id }) => id === laptop.principal.sessionId) as unknown as Record<string, number>;
  t.equal(own.current, true);
  t.equal(own.ends_at! - own.created_at!, 90 * 86_400);
  t.equal(own.renewed_at, own.created_at);
  t.same(Object.keys(own), [
    'id',
    'current',
    'device',
    'address',
    'methods',
    'authenticated_at',
    'created_at',
    'renewed_at',
    'ends_at',
  ]);
});

t.test('a session that its user ended on another device says so when it is refreshed', async (t) => {
  const phone = await mint();
  const laptop = await mint(phone.principal.subject);
  const reply = await end(phone.principal.sessionId, browser(laptop));
  t.equal(reply.statusCode, 204);
  t.equal(reply.body, '');
  t.same(setCookies(reply), [], 'this device keeps its cookies');
  t.equal(await sessionStatus(phone), 401);
  t.equal(await sessionStatus(laptop), 200);
  t.equal(
    (await post('/auth/refresh', { refresh_token: phone.pair.refresh.token })).json().reason,
    'logged_out_elsewhere',
  );
  t.equal(
    (await end(phone.principal.sessionId, browser(laptop))).statusCode,
    404,
    'a session that has ended is not found',
  );
});

t.test('ending the requesting session works like a logout', async (t) => {
  const tokens = await mint();
  const reply = await end(tokens.principal.sessionId, browser(tokens));
  t.equal(reply.statusCode, 204);
  t.same(
    setCookies(reply).map(({ attributes }) => attributes['max-age']),
    ['0', '0'],
  );
  t.equal((await post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).json().reason, 'logged_out');
});

t.test('the session of another user is not found and goes on', async (t) => {
  const mine = await mint();
  const theirs = await mint();
  const reply = await end(theirs.principal.sessionId, bearer(mine));
  t.equal(reply.statusCode, 404);
  t.equal(reply.json().code, 'not_found');
  t.equal(await sessionStatus(theirs), 200);
});

t.test('the session of another user in the same partition is not found either', async (t) => {
  const mine = await mint('subject-0');
  const partition = partitionOf('subject-0');
  let neighbour = '';
  for (let i = 1; partitionOf(neighbour) !== partition; i++)
    neighbour = createHash('sha256').update(String(i)).digest('hex');
  const theirs = await mint(neighbour);
  t.equal(theirs.pair.refresh.partition, mine.pair.refresh.partition);
  t.equal((await end(theirs.principal.sessionId, bearer(mine))).statusCode, 404);
  t.equal(await sessionStatus(theirs), 200);
  t.equal((await get('/auth/sessions', bearer(mine))).json().sessions.length, 1);
});

t.test('ending a session by an invalid id is 404, or 400 if the id is too long', async (t) => {
  const tokens = await mint();
  for (const id of ['x', '*', '{0000}:session:x', '../session', '\u0000', 'é'])
    t.equal((await end(id, bearer(tokens))).statusCode, 404, id);
  t.equal((await end('x'.repeat(65), bearer(tokens))).statusCode, 400);
  t.equal((await end('x'.repeat(101), bearer(tokens))).statusCode, 404);
  t.equal((await inject({ method: 'DELETE', url: '/auth/sessions/', headers: bearer(tokens) })).statusCode, 404);
  t.equal(await sessionStatus(tokens), 200);
});

t.test('listing and ending sessions need a session', async (t) => {
  t.equal((await get('/auth/sessions')).statusCode, 401);
  t.equal((await end('x', {})).statusCode, 401);
});
