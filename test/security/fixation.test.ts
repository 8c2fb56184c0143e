import t from 'tap';
import { TokenKeys } from '../../src/sessions/token.js';
import { keysUnder } from '../support/audit.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  PASSWORD,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, post, mint, client, config } = service;

t.test('a login never adopts the tokens that the client presents', async (t) => {
  const { username } = await service.register();
  const planted = (await mint()).pair;
  const cookie = `${ACCESS_COOKIE}=${planted.access.token}; ${REFRESH_COOKIE}=${planted.refresh.token}`;
  const login = await post(
    '/auth/login',
    { username, password: PASSWORD },
    { cookie, 'sec-fetch-site': 'same-origin' },
  );
  t.equal(login.statusCode, 200);
  const issued = setCookies(login);
  t.same(
    issued.map(({ name }) => name),
    [ACCESS_COOKIE, REFRESH_COOKIE],
  );
  for (const { value } of issued) t.notOk([planted.access.token, planted.refresh.token].includes(value));
  const { session_id } = login.json().session;
  t.not(session_id, planted.refresh.sessionId);
});

t.test('a well-formed token that was never issued is refused and leaves no key behind', async (t) => {
  const foreign = new TokenKeys(['another secret of at least thirty-two chars']).mint('a3f0');
  const before = (await keysUnder(client, config.redisPrefix)).length;
  t.equal((await get('/auth/session', { authorization: `Bearer ${foreign.access.token}` })).statusCode, 401);
  t.equal((await post('/auth/refresh', { refresh_token: foreign.refresh.token })).statusCode, 403);
  t.equal((await keysUnder(client, config.redisPrefix)).length, before);
});

t.test('a login ends the session that this browser has, but only if it belongs to the same user', async (t) => {
  const { subject, username } = await service.register();
  const [own, others] = [await mint(subject), await mint()];
  t.equal((await post('/auth/login', { username, password: PASSWORD }, browser(own))).statusCode, 200);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 401);
  t.equal((await post('/auth/login', { username, password: PASSWORD }, browser(others))).statusCode, 200);
  t.equal(
    (await get('/auth/session', bearer(others))).statusCode,
    200,
    'a login does not end the session of another user',
  );
});

t.test('a refresh token is refused as an access token, and an access token as a refresh token', async (t) => {
  const { pair } = await mint();
  t.equal((await get('/auth/session', { authorization: `Bearer ${pair.refresh.token}` })).statusCode, 401);
  t.equal((await get('/auth/session', { cookie: `${ACCESS_COOKIE}=${pair.refresh.token}` })).statusCode, 401);
  t.equal((await post('/auth/refresh', { refresh_token: pair.access.token })).statusCode, 403);
});

t.test('no token is read from a URL', async (t) => {
  const { pair } = await mint();
  for (const name of ['access_token', 'token', 'refresh_token', ACCESS_COOKIE]) {
    t.equal((await get(`/auth/session?${name}=${pair.access.token}`)).statusCode, 401);
  }
  t.equal((await get(`/auth/continue?refresh_token=${pair.refresh.token}`)).statusCode, 400);
});
