import t from 'tap';
import { partitionOf } from '../../../src/redis/keys.js';
import { parseAccessToken, TokenKeys } from '../../../src/sessions/token.js';
import { assertLifetime, timeInRedis } from '../../support/redis/expiry.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  PASSWORD,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { post, get, client, keys, config } = service;
const { subject, username } = await service.register('Ada.Lovelace');
const credentials = { username, password: PASSWORD };
const TOKEN = /lk[ar]_/;

t.test(
  'a login sets two cookies with every attribute that confines them to this host and HTTPS, away from scripts',
  async (t) => {
    const reply = await post('/auth/login', credentials);
    t.equal(reply.statusCode, 200);
    const [access, refresh, ...others] = [reply.headers['set-cookie'] ?? []].flat();
    t.match(access, /^__Host-Http-latchkey=lka_[\w-]{51}; Max-Age=900; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
    t.match(
      refresh,
      /^__Http-latchkey-refresh=lkr_[\w-]{126}; Max-Age=2592000; Path=\/auth; HttpOnly; Secure; SameSite=Lax$/,
    );
    t.same(others, []);
  },
);

t.test('the body of a cookie login holds no token', async (t) => {
  const reply = await post('/auth/login', { ...credentials, transport: 'cookie' });
  t.notMatch(reply.body, TOKEN);
  const cookies = setCookies(reply);
  t.equal(cookies.length, 2);
  for (const { value } of cookies) t.notMatch(reply.body, value.slice(4, 20));
  t.match(reply.json(), {
    expires_in: 900,
    refresh_expires_in: 2_592_000,
    session: { subject, username, methods: ['pwd'] },
  });
  t.same(Object.keys(reply.json()).sort(), ['expires_in', 'refresh_expires_in', 'session']);
});

t.test('with the bearer transport the tokens are in the body and no cookie is set', async (t) => {
  const reply = await post('/auth/login', { ...credentials, transport: 'bearer' });
  t.equal(reply.statusCode, 200);
  t.same(setCookies(reply), []);
  const body = reply.json();
  t.match(body, {
    token_type: 'Bearer',
    expires_in: 900,
    refresh_expires_in: 2_592_000,
    access_token: /^lka_/,
    refresh_token: /^lkr_/,
  });
  const session = await get('/auth/session', { authorization: `Bearer ${body.access_token}` });
  t.same(session.json(), body.session);
});

t.test('the keys in Redis live as long as the tokens: 15 minutes and 30 days', async (t) => {
  const { result: reply, ...span } = await timeInRedis(client, () => post('/auth/login', credentials));
  const [access, refresh] = setCookies(reply);
  const { partition, digest } = parseAccessToken(access!.value)!;
  const { sessionId } = new TokenKeys(config.tokenKeys).parse(refresh!.value)!;
  t.equal(partition, partitionOf(subject));
  await assertLifetime(t, client, keys.access(partition, digest), 900_000, span);
  await assertLifetime(t, client, keys.session(partition, sessionId), 2_592_000_000, span);
  await assertLifetime(t, client, keys.sessions(subject), 2_592_000_000, span);
});

t.test('a failed login does not reveal whether the username or the password was wrong', async (t) => {
  const wrongPassword = await post('/auth/login', { username, password: 'not the password at all' });
  const unknownUser = await post('/auth/login', { username: 'nobody-of-that-name', password: PASSWORD });
  const impossibleName = await post('/auth/login', { username: 'no name\u0000', password: PASSWORD });
  const impossiblePassword = await post('/auth/login', { username, password: '\ud800'.repeat(20) });
  for (const reply of [wrongPassword, unknownUser, impossibleName, impossiblePassword]) {
    t.equal(reply.statusCode, 401);
    t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey"');
    t.equal(reply.body, wrongPassword.body);
    t.same(setCookies(reply), []);
  }
  t.match(wrongPassword.json(), { status: 401, title: 'Unauthorized', code: 'invalid_credentials' });
});

t.test('a username logs in regardless of case and surrounding spaces', async (t) => {
  t.equal((await post('/auth/login', { username: ' ADA.LOVELACE ', password: PASSWORD })).statusCode, 200);
});

t.test('a login ends the session that the client has of the same user, whichever token it presents', async (t) => {
  for (const present of [bearer, browser, (tokens: Parameters<typeof browser>[0]) => browser(tokens, 'access')]) {
    const before = await service.mint(subject);
    const reply = await post('/auth/login', credentials, present(before));
    t.equal(reply.statusCode, 200);
    t.equal((await get('/auth/session', bearer(before))).statusCode, 401);
    const refreshed = await post('/auth/refresh', { refresh_token: before.pair.refresh.token });
    t.match(refreshed.json(), { code: 'reauthentication_required', reason: 'superseded' });
  }
});

t.test('a login leaves the session of another user alone and ignores invalid tokens', async (t) => {
  const other = await service.mint();
  const { sessionId } = other.pair.refresh;
  for (const headers of [bearer(other), browser(other)]) {
    t.equal((await post('/auth/login', credentials, headers)).statusCode, 200);
    t.equal((await get('/auth/session', bearer(other))).json().session_id, sessionId);
  }
  const nonsense = { cookie: `${ACCESS_COOKIE}=lka_x; ${REFRESH_COOKIE}=lkr_x`, 'sec-fetch-site': 'same-origin' };
  t.equal((await post('/auth/login', credentials, nonsense)).statusCode, 200);
  t.equal((await post('/auth/login', credentials, { authorization: 'Bearer lka_x' })).statusCode, 200);
});

t.test('a failed login ends no session', async (t) => {
  const tokens = await service.mint(subject);
  t.equal(
    (await post('/auth/login', { username, password: 'not the password at all' }, browser(tokens))).statusCode,
    401,
  );
  t.equal((await get('/auth/session', bearer(tokens))).statusCode, 200);
});

t.test('a password that is replaced while it is being verified no longer logs in', async (t) => {
  const { subject, username } = await service.register();
  const key = keys.user(subject);
  const other = (await client.hget(keys.user((await service.register()).subject), 'password'))!;
  const read = ['hmget', key];

  await service.afterCommand(read, () => client.hset(key, 'password', other));
  const rehashed = await post('/auth/login', { username, password: PASSWORD });
  t.equal(rehashed.statusCode, 200, 'a new hash of the same password logs in');

  const changed = (await post('/auth/register', { username: 'other', password: `${PASSWORD}!` })).json();
  const otherPassword = (await client.hget(keys.user(changed.subject), 'password'))!;
  await service.afterCommand(read, () => client.hset(key, 'password', otherPassword));
  t.equal((await post('/auth/login', { username, password: PASSWORD })).statusCode, 401);

  await service.afterCommand(read, () => client.hset(key, 'disabledAt', Date.now()));
  t.equal(
    (await post('/auth/login', { username, password: `${PASSWORD}!` })).statusCode,
    401,
    'a user who is disabled while the password is being verified does not log in',
  );
});

t.test('a session lists the label and the address of its device', async (t) => {
  const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
  const login = await post('/auth/login', { ...credentials, transport: 'bearer' }, { 'user-agent': agent });
  const devices = (await get('/auth/sessions', { authorization: `Bearer ${login.json().access_token}` })).json();
  t.match(
    devices.sessions.find((each: { current: boolean }) => each.current),
    { device: 'Firefox 140 · Linux', address: '127.0.0.1' },
  );
});
