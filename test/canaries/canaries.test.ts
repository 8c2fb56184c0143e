import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import t from 'tap';
import { watchExpiries } from '../support/audit.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { ACCESS_COOKIE, REFRESH_COOKIE } from '../support/service.js';
import { spawnService } from '../support/service-process.js';
import { Canaries, dumpKeys, readFiles } from './canaries.js';

const PREFIX = 'lk:';
const canaries = new Canaries();
const tokenKey = randomBytes(32).toString('base64url');
canaries.secret(tokenKey);

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const service = spawnService({
  LOG_LEVEL: 'trace',
  REDIS_URL: redis.url,
  TOKEN_KEYS: tokenKey,
  REFRESH_GRACE: '10ms',
  REDIS_TIMEOUT: '2s',
});
t.teardown(() => service.process.kill('SIGKILL'));
const { url, internalUrl } = await service.ready();

const monitored: string[] = [];
const monitor = await redis.client().monitor();
t.teardown(() => monitor.disconnect());
monitor.on('error', () => undefined);
monitor.on('monitor', (_time: string, command: string[]) => monitored.push(command.join(' ')));
const audit = watchExpiries(client, PREFIX, { everyMs: 50 });
let audited: string[] | undefined;

/** Bodies that must not contain a token: those of failures and of the cookie transport. */
const bodies: string[] = [];
const statuses = new Set<number>();

interface Answer {
  status: number;
  json: Record<string, string>;
  cookies: Record<string, string>;
}

async function ask(
  method: string,
  path: string,
  { body, headers = {}, base = url }: { body?: unknown; headers?: Record<string, string>; base?: string } = {},
): Promise<Answer> {
  const json = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const reply = await fetch(base + path, {
    method,
    redirect: 'manual',
    headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(json !== undefined && { body: json }),
  });
  const text = await reply.text();
  const pairs = reply.headers.getSetCookie().map((cookie) => cookie.split(';')[0]!.split('='));
  const cookies = Object.fromEntries(pairs) as Record<string, string>;
  const isJson = /json/.test(reply.headers.get('content-type') ?? '');
  const fields = (isJson ? JSON.parse(text) : {}) as Record<string, string>;
  statuses.add(reply.status);
  for (const token of [fields.access_token, fields.refresh_token, ...Object.values(cookies)])
    if (token) canaries.token(token);
  if (reply.status >= 400 || !fields.access_token) bodies.push(`${text}\n${reply.headers.get('location') ?? ''}`);
  return { status: reply.status, json: fields, cookies };
}

const post = (path: string, body?: unknown, headers?: Record<string, string>) =>
  ask('POST', path, { ...(body !== undefined && { body }), ...(headers && { headers }) });
const bearer = (token = '') => ({ authorization: `Bearer ${token}` });
const jar = (cookies: Record<string, string>) => ({
  cookie: Object.entries(cookies)
    .map(([name, value]) => `${name}=${value}`)
    .join('; '),
  'sec-fetch-site': 'same-origin',
});

const password = canaries.password();
const username = 'canary-user';
const logIn = (transport: 'cookie' | 'bearer', pass = password) =>
  post('/auth/login', { username, password: pass, transport });

async function sendWhatSucceeds() {
  await post('/auth/register', { username, password });
  const { json } = await logIn('bearer');
  await ask('GET', '/auth/session', { headers: bearer(json.access_token) });
  const renewed = (await post('/auth/refresh', { refresh_token: json.refresh_token })).json;
  await ask('GET', '/auth/verify', { headers: bearer(renewed.access_token) });
  await ask('GET', '/auth/sessions', { headers: bearer(renewed.access_token) });

  const { cookies } = await logIn('cookie');
  await post('/auth/refresh', undefined, jar(cookies));
  await ask('GET', '/auth/continue?to=/account', { headers: jar(cookies) });
  const other = (await logIn('bearer')).json as unknown as { access_token: string; session: { session_id: string } };
  await ask('DELETE', `/auth/sessions/${other.session.session_id}`, { headers: bearer(renewed.access_token) });
  await post('/auth/logout', { scope: 'others' }, bearer(renewed.access_token));

  const next = canaries.password();
  const changed = (
    await post('/auth/password', { current_password: password, new_password: next }, bearer(renewed.access_token))
  ).json;
  await post('/auth/password', { current_password: next, new_password: password }, bearer(changed.access_token));
  const last = (await logIn('cookie')).cookies;
  await post('/auth/logout', undefined, jar(last));
}

async function sendWhatFails() {
  const { json } = await logIn('bearer');
  const { cookies } = await logIn('cookie');
  const wrong = canaries.password();
  await post('/auth/login', { username, password: wrong });
  await post('/auth/login', { username: wrong, password: wrong });
  await post('/auth/register', { username, password: wrong });
  await post('/auth/register', { username: 'another', password: wrong.slice(0, 9) });
  await post('/auth/register', { username: 'another', password: wrong, [wrong]: wrong });
  await post('/auth/register', `{"username":"another","password":"${wrong}"`);
  await post('/auth/login', { username: { [wrong]: wrong }, password: [wrong] });
  await post('/auth/login', `username=x&password=${wrong}`, { 'content-type': 'application/x-www-form-urlencoded' });
  await post('/auth/login', { username, password: wrong.repeat(1_000) });
  await post('/auth/password', { current_password: wrong, new_password: wrong }, bearer(json.access_token));
  await post(
    '/auth/password',
    { current_password: password, new_password: wrong.slice(0, 9) },
    bearer(json.access_token),
  );

  const [access, refresh] = [json.access_token!, json.refresh_token!];
  await ask('GET', '/auth/session', { headers: { ...bearer(access), ...jar(cookies) } });
  await ask('GET', '/auth/session', { headers: bearer(`${access} ${access}`) });
  await ask('GET', '/auth/session', { headers: bearer(access.slice(0, -1)) });
  await ask('GET', '/auth/session', { headers: { cookie: `${ACCESS_COOKIE}=${access}; ${ACCESS_COOKIE}=${access}` } });
  await ask('GET', `/auth/session?access_token=${access}`);
  await ask('GET', `/auth/${access}`);
  await ask('GET', `/${refresh}`);
  await ask('GET', `/auth/%zz${refresh}`);
  await ask('GET', `/auth/continue?to=${refresh}`, { headers: jar(cookies) });
  await ask('DELETE', `/auth/sessions/${refresh}`, { headers: bearer(access) });
  await post('/auth/refresh', { refresh_token: `${refresh}x` });
  await post('/auth/refresh', { refresh_token: refresh, token: refresh });
  await post('/auth/refresh', { refresh_token: refresh }, jar(cookies));
  await post('/auth/logout', { scope: refresh }, bearer(access));
  await post('/auth/refresh', undefined, { cookie: `${REFRESH_COOKIE}=${refresh}`, 'sec-fetch-site': 'cross-site' });

  // Reuse after the grace period.
  const second = (await post('/auth/refresh', { refresh_token: refresh })).json;
  await ask('GET', '/auth/session', { headers: bearer(second.access_token) });
  await until('it is confirmed', async () => !(await dumpKeys(client)).includes('"unconfirmed":true'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await post('/auth/refresh', { refresh_token: refresh });
  await post('/auth/refresh', { refresh_token: second.refresh_token });

  // Malformed HTTP.
  const { hostname, port } = new URL(url);
  for (const words of [
    `POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: oops\r\nauthorization: Bearer ${access}\r\n\r\n${wrong}`,
    `${refresh}\r\n\r\n`,
  ]) {
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.write(words);
    bodies.push(await readText(socket));
  }
}

/** Sends secrets to every documented route, in each place that it could read. */
async function sendToEveryRoute() {
  for (const base of [url, internalUrl]) {
    const { paths } = (await ask('GET', '/openapi.json', { base })).json as unknown as {
      paths: Record<string, Record<string, unknown>>;
    };
    const { json } = await logIn('bearer');
    for (const [path, methods] of Object.entries(paths)) {
      for (const method of Object.keys(methods)) {
        const filled = path.replace(/\{\w+\}/g, json.refresh_token!);
        const body =
          method === 'get' ? {} : { body: { password, token: json.access_token, refresh_token: json.refresh_token } };
        await ask(method.toUpperCase(), `${filled}?token=${json.access_token}`, {
          base,
          headers: bearer(json.refresh_token),
          ...body,
        });
      }
    }
  }
}

async function causeEveryFault() {
  const { json } = await logIn('bearer');
  const { subject } = json.session as unknown as { subject: string };
  const [sessions] = (await client.keys(`${PREFIX}*:sessions:${subject}`)) as [string];
  const [user] = (await client.keys(`${PREFIX}*:user:${subject}`)) as [string];
  const stored = (await client.hget(user, 'password'))!;

  await client.rename(sessions, 'aside');
  await client.set(sessions, 'no set', 'PX', 10_000);
  await post('/auth/refresh', { refresh_token: json.refresh_token });
  await logIn('bearer');
  await ask('GET', '/auth/sessions', { headers: bearer(json.access_token) });
  await post(
    '/auth/password',
    { current_password: password, new_password: canaries.password() },
    bearer(json.access_token),
  );
  await client.rename('aside', sessions);
  await client.hset(user, 'password', 'not a hash');
  await logIn('bearer');
  await client.hset(user, 'password', stored);

  const again = (await logIn('bearer')).json;
  await client.config('SET', 'maxmemory', 1);
  await post('/auth/login', { username, password });
  await post('/auth/refresh', { refresh_token: again.refresh_token });
  await client.config('SET', 'maxmemory', 0);
  audited = await audit();
  redis.pause();
  await sendEveryRequest(again);
  redis.resume();
  await redis.kill();
  await sendEveryRequest(again);
  await redis.restart();
  await until('Redis is back', async () => (await fetch(`${internalUrl}/readyz`)).status === 200);
}

async function sendEveryRequest({ access_token, refresh_token }: Record<string, string>) {
  await ask('GET', '/auth/session', { headers: bearer(access_token) });
  await post('/auth/refresh', { refresh_token });
  await post('/auth/logout', { refresh_token });
  await post('/auth/login', { username, password });
  await post('/auth/register', { username: 'late', password });
}

t.test('every kind of success, failure and fault occurs at log level trace', { timeout: 280_000 }, async (t) => {
  await sendWhatSucceeds();
  await sendWhatFails();
  await sendToEveryRoute();
  await causeEveryFault();
  for (const status of [200, 201, 204, 303, 400, 401, 403, 404, 409, 413, 415, 422, 500, 503])
    t.ok(statuses.has(status), `${status} was answered`);
});

t.test('every key but users and login names had an expiry at all times', async (t) => {
  t.same(audited, []);
});

t.test('no token, password or key is logged, answered or stored, whole or in part', async (t) => {
  // Search the append-only file as commands and after a rewrite.
  const asCommands = await readFiles(redis.directory);
  t.ok(asCommands.includes(`${PREFIX}login:${username}`), 'the append-only file is searched');
  await client.call('BGREWRITEAOF');
  await until('it is rewritten', async () =>
    /aof_rewrite_in_progress:0\r[^]*aof_rewrite_scheduled:0/.test(await client.info('persistence')),
  );

  const places = {
    'the log': service.output(),
    'the bodies of failures and of the cookie transport': bodies.join('\n'),
    'the keys and values in Redis': await dumpKeys(client),
    // The login name is looked up as entered, even if it is a password, but not stored.
    'the commands sent to Redis': monitored.filter((command) => !command.startsWith(`get ${PREFIX}login:`)).join('\n'),
    'the append-only file': asCommands,
    'the append-only file, rewritten': await readFiles(redis.directory),
  };
  for (const [place, content] of Object.entries(places)) {
    t.ok(content.length > 1_000, `${place}: ${content.length} characters`);
    t.equal(canaries.findIn(content), undefined, place);
  }
});

t.test('no password hash is logged or answered', async (t) => {
  t.notMatch(service.output() + bodies.join('\n'), /\$argon2|19456/);
});

t.test('the search finds each kind of canary in each place', async (t) => {
  const planted = new Canaries();
  const token = `lkr_${randomBytes(126).toString('base64url')}`;
  planted.token(token);
  const secret = planted.password();
  const body = token.slice(4);
  const bytes = Buffer.from(body, 'base64url').subarray(60, 72);
  for (const part of [
    token,
    body.slice(40, 52),
    body.slice(-12),
    secret,
    secret.slice(3, 11),
    bytes.toString('hex'),
    JSON.stringify([...bytes]),
    bytes.toString('latin1'),
  ]) {
    t.type(planted.findIn(`{"level":30,"msg":"${part}"}`), 'string');
  }
  for (const shorter of [body.slice(40, 51), secret.slice(3, 10), body.slice(0, 30)])
    t.equal(planted.findIn(`{"msg":"${shorter}"}`), undefined);

  await client.set(`planted:${body.slice(40, 52)}`, 'x', 'PX', 60_000);
  await client.hset('planted', 'field', secret.slice(0, 8));
  for (const place of [await dumpKeys(client), await readFiles(redis.directory)])
    t.type(planted.findIn(place), 'string');
});
