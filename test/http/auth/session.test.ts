import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import t from 'tap';
import { until } from '../../support/redis/waiting.js';
import { ACCESS_COOKIE, bearer, browser, REFRESH_COOKIE, setCookies, startService } from '../../support/service.js';

const service = await startService({ accessLifetimeMs: 300, refreshGraceMs: 50 });
t.teardown(() => service.close());
const patient = await startService({}, { redis: service.redis });
t.teardown(() => patient.close());
const { get, client, keys } = patient;

t.test('the session is returned for either transport', async (t) => {
  const tokens = await patient.mint('a subject: any', {
    identity: { subject: 'a subject: any', methods: ['hwk', 'mfa'] },
  });
  const { sessionId } = tokens.pair.refresh;
  for (const shown of [
    bearer(tokens),
    browser(tokens),
    browser(tokens, 'access'),
    { authorization: `bEARER   ${tokens.pair.access.token} ` },
  ]) {
    const reply = await get('/auth/session', shown);
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

t.test('the session includes the data of the application', async (t) => {
  const data = { role: 'admin', nested: { list: [1, 'two', null] } };
  const identity = { subject: 's', username: 'ada', methods: [], client: 'app', scope: 'read write', data };
  const tokens = await patient.mint('s', { identity });
  t.match((await get('/auth/session', bearer(tokens))).json(), {
    username: 'ada',
    client_id: 'app',
    scope: 'read write',
    data,
  });
});

t.test('an Authorization header of another scheme is ignored', async (t) => {
  const tokens = await patient.mint();
  const both = { ...browser(tokens), authorization: 'Basic YWRhOnNlY3JldA==' };
  t.equal((await get('/auth/session', both)).statusCode, 200);
  t.equal((await get('/auth/session', { authorization: 'Bearer-like x' })).json().code, 'authentication_required');
});

t.test('a request without an access token is 401 with a challenge', async (t) => {
  const tokens = await patient.mint();
  for (const headers of [{}, browser(tokens, 'refresh'), { cookie: `x${ACCESS_COOKIE}=1; other` }]) {
    const reply = await get('/auth/session', headers);
    t.equal(reply.statusCode, 401);
    t.equal(reply.headers['content-type'], 'application/problem+json');
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey"');
    t.match(reply.json(), { status: 401, code: 'authentication_required', title: 'Unauthorized' });
  }
});

t.test('an invalid access token is 401 invalid_token, and no cookie is cleared', async (t) => {
  const { pair } = await patient.mint();
  const stranger = await service.mint();
  const flipped = pair.access.token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  for (const token of [stranger.pair.access.token, flipped, pair.refresh.token, 'lka_', 'x', '"']) {
    for (const headers of [{ authorization: `Bearer ${token}` }, { cookie: `${ACCESS_COOKIE}=${token}` }]) {
      const reply = await get('/auth/session', headers);
      t.equal(reply.statusCode, 401);
      t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey", error="invalid_token"');
      t.equal(reply.json().code, 'invalid_token');
      t.same(setCookies(reply), []);
      t.notOk(reply.body.includes(token.slice(4) || 'lka_'), 'nor is it repeated');
    }
  }
  t.equal((await get('/auth/session', { cookie: `${ACCESS_COOKIE}=` })).json().code, 'invalid_token');
});

t.test('an access token expires', async (t) => {
  const tokens = await service.mint();
  const session = () => service.get('/auth/session', bearer(tokens));
  t.equal((await session()).statusCode, 200);
  await until('the access token has expired', async () => (await session()).statusCode === 401);
  t.equal(
    (await service.post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).statusCode,
    200,
    'its session goes on',
  );
});

t.test('a revoked access token is refused at once', async (t) => {
  const tokens = await patient.mint();
  await patient.store.revoke(tokens.principal.subject, tokens.pair.refresh.sessionId, 'revoked');
  t.equal((await get('/auth/session', bearer(tokens))).statusCode, 401);
});

t.test('a token in two places, or a cookie that appears twice, is 400', async (t) => {
  const tokens = await patient.mint();
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
    const reply = await patient.post(path, {}, { cookie: refreshTwice, 'sec-fetch-site': 'same-origin' });
    t.equal(reply.json().code, 'ambiguous_credentials');
    const inBody = await patient.post(path, { refresh_token: refresh.token }, browser(tokens, 'refresh'));
    t.equal(inBody.json().code, 'ambiguous_credentials');
  }
  t.equal((await patient.get('/auth/continue', { cookie: refreshTwice })).json().code, 'ambiguous_credentials');
  t.ok(await client.exists(keys.session(refresh.partition, refresh.sessionId)), 'and nothing has happened');
});

t.test('a Bearer header without exactly one token is 400', async (t) => {
  const { pair } = await patient.mint();
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

t.test('two Authorization headers are refused', async (t) => {
  const { authorization } = bearer(await patient.mint());
  const headers = ['host', 'localhost', 'authorization', authorization, 'authorization', 'Bearer another'];
  const asked = request(`${patient.url}/auth/session`, { headers }).end();
  const [reply] = (await once(asked, 'response')) as [IncomingMessage];
  t.equal(reply.statusCode, 400);
  t.match(await json(reply), { code: 'invalid_request', detail: /The Authorization header must be/ });
});

t.test('the first use of a fresh access token confirms its pair', async (t) => {
  const first = await patient.mint();
  const { partition, sessionId } = first.pair.refresh;
  const confirmed = () => client.hexists(keys.session(partition, sessionId), 'confirmedAt');
  const refreshed = await patient.post('/auth/refresh', { refresh_token: first.pair.refresh.token });
  t.equal(await confirmed(), 0);
  await get('/auth/session', { authorization: `Bearer ${refreshed.json().access_token}` });
  await patient.untilConfirmed(first);
  t.equal(await confirmed(), 1);
});
