import t from 'tap';
import { keysUnder } from '../support/audit.js';
import { rawRequest } from '../support/raw.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { spawnService } from '../support/service-process.js';

const PASSWORD = 'canary-password staple battery';
const SECRET = 'canary-key of at least thirty-two characters';

interface Line {
  event?: string;
  outcome?: string;
  reason?: string;
  subject?: string;
  sessionId?: string;
  address?: string;
}

const redis = await startRedis();
t.teardown(() => redis.stop());
const service = spawnService({
  REDIS_URL: redis.url,
  LOG_LEVEL: 'trace',
  TOKEN_KEYS: SECRET,
  LOGIN_FAILURES_PER_ACCOUNT: '1',
});
t.teardown(() => service.end());
const { output } = service;
const { url } = await service.ready();

const lines = () =>
  output()
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

async function post(path: string, body: unknown, token?: string) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const reply = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await reply.text();
  return {
    status: reply.status,
    body: (text === '' ? {} : JSON.parse(text)) as {
      access_token: string;
      refresh_token: string;
      subject: string;
      session: { session_id: string };
    },
  };
}

/** Makes the sessions of a user begin a day earlier, so that their login is no longer recent. */
async function ageLogin(subject: string): Promise<void> {
  const client = redis.client();
  const age = (principal: string) =>
    principal.replace(/(?<="authenticatedAt":)\d+/, (at) => String(Number(at) - 86_400_000));
  for (const key of await keysUnder(client, 'lk:')) {
    const principal = key.includes(':session:')
      ? await client.hget(key, 'principal')
      : key.includes(':access:') && (await client.get(key));
    if (!principal || !principal.includes(subject)) continue;
    if (key.includes(':session:')) await client.hset(key, 'principal', age(principal));
    else await client.set(key, age(principal), 'KEEPTTL');
  }
}

const events = () => lines().filter((line) => line.event);
let taken = 0;

/** Waits for the next event that is logged. Returns it without the fields that pino adds. */
async function takeEvent(): Promise<Line> {
  await until('an event is logged', () => events().length > taken);
  const { event, outcome, reason, subject, sessionId, address } = events()[taken++]!;
  return JSON.parse(JSON.stringify({ event, outcome, reason, subject, sessionId, address })) as Line;
}

const address = '127.0.0.1';
const secrets: string[] = [PASSWORD, SECRET];

t.test('every authentication event is logged with its outcome, subject, session and address', async (t) => {
  const credentials = { username: 'ada', password: PASSWORD, transport: 'bearer' };
  const { subject } = (await post('/auth/register', { username: 'ada', password: PASSWORD })).body;
  t.same(await takeEvent(), { event: 'register', outcome: 'success', subject, address });
  await post('/auth/register', { username: 'ada', password: PASSWORD });
  t.same(await takeEvent(), { event: 'register', outcome: 'failure', reason: 'username_taken', address });

  const { body: tokens } = await post('/auth/login', credentials);
  const sessionId = tokens.session.session_id;
  secrets.push(tokens.access_token, tokens.refresh_token);
  t.same(await takeEvent(), { event: 'login', outcome: 'success', subject, sessionId, address });
  await post('/auth/login', { username: 'nobody', password: `${PASSWORD} wrong` });
  t.same(await takeEvent(), { event: 'login', outcome: 'failure', reason: 'invalid_credentials', address });
  await post('/auth/login', { username: 'nobody', password: `${PASSWORD} wrong` });
  t.same(await takeEvent(), { event: 'login', outcome: 'failure', reason: 'too_many_requests', address });
  const { subject: attacked } = (await post('/auth/register', { username: 'grace', password: PASSWORD })).body;
  t.match(await takeEvent(), { event: 'register' });
  await post('/auth/login', { username: 'grace', password: `${PASSWORD} wrong` });
  t.same(await takeEvent(), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject: attacked,
    address,
  });

  const { body: renewed } = await post('/auth/refresh', { refresh_token: tokens.refresh_token });
  secrets.push(renewed.access_token, renewed.refresh_token);
  t.same(await takeEvent(), { event: 'refresh', outcome: 'success', subject, sessionId, address });

  await post(
    '/auth/password',
    { current_password: 'canary-password wrong', new_password: `${PASSWORD} new` },
    renewed.access_token,
  );
  t.same(await takeEvent(), {
    event: 'password_change',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject,
    sessionId,
    address,
  });
  await ageLogin(subject);
  await post('/auth/logout', { scope: 'others' }, renewed.access_token);
  t.same(await takeEvent(), {
    event: 'step_up',
    outcome: 'failure',
    reason: 'insufficient_user_authentication',
    subject,
    sessionId,
    address,
  });
  await post('/auth/logout', {}, renewed.access_token);
  t.same(await takeEvent(), { event: 'logout', outcome: 'success', reason: 'all', subject, sessionId, address });
  await post('/auth/refresh', { refresh_token: renewed.refresh_token });
  t.same(await takeEvent(), { event: 'refresh', outcome: 'failure', reason: 'logged_out', sessionId, address });
  t.equal(events().length, taken, 'nothing else is reported');
});

t.test('a request cannot forge a line of the log', async (t) => {
  const injected = 'x","event":"forged"}\n{"level":30,"event":"forged"}\u001b[2J\u2028';
  const before = events().length;
  await post('/auth/login', { username: injected, password: injected });
  await post('/auth/register', { username: injected, password: injected });
  await fetch(`${url}/auth/${encodeURIComponent(injected)}`, { headers: { 'user-agent': 'x","event":"forged' } });
  await rawRequest(url, 'GET /auth/session\n{"event":"forged"} HTTP/1.1\r\nHost: x\r\n\r\n');
  await post('/auth/login', { username: 'after the forgeries', password: 'x' });
  await until('each login and registration is logged', () => events().length === before + 3);
  t.notOk(lines().some(({ event }) => event === 'forged'));
  t.notOk(output().includes('\u001b') || output().includes('\u2028'));
});

t.test('no token, password or key is logged, whole or in part, at any level', async (t) => {
  await fetch(`${url}/auth/session`, {
    headers: { authorization: `Bearer ${secrets[2]!.slice(0, -1)}x`, cookie: `a=${secrets[3]!}` },
  });
  await rawRequest(url, `GET /auth/session HTTP/1.1\r\nAuthorization: Bearer ${secrets[2]!}\r\nbroken header\r\n\r\n`);
  await redis.kill();
  const failing = ['/auth/login', '/auth/form/login', '/auth/form/register'];
  const logged = () => lines().filter((line) => (line as { level?: number }).level === 50 && line.event === undefined);
  for (const path of failing) {
    const form = path.includes('form');
    const before = logged().length;
    const fields = { username: 'ada', password: PASSWORD };
    const reply = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'sec-fetch-site': 'same-origin', ...(!form && { 'content-type': 'application/json' }) },
      body: form ? new URLSearchParams(fields) : JSON.stringify(fields),
    });
    t.equal(reply.status, 503, path);
    await until('the outage is logged', async () => logged().length > before);
  }
  const sessionIds = lines().flatMap(({ sessionId }) => sessionId ?? []);
  t.notMatch(output(), /canary-(password|key)|lk[ar]_/);
  for (const secret of secrets) {
    for (let i = 4; i + 16 <= secret.length; i += 8) {
      const part = secret.slice(i, i + 16);
      // A refresh token holds the id of its session, which is no secret.
      if (!sessionIds.some((id) => id.includes(part))) t.notOk(output().includes(part), `${i} of ${secret.length}`);
    }
  }
});
