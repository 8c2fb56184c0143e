// Walks through the seven steps of a session against a running service, and shows what each changes in Redis.
// npm run tour [url]; takes REDIS_URL and REDIS_PREFIX like the service, and finds its private Redis by itself.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { DEFAULTS, SERVICE_DEFAULTS } from '../src/options.js';

const service = process.argv[2] ?? 'http://localhost:3000';
const prefix = process.env.REDIS_PREFIX || DEFAULTS.redisPrefix;
const username = `tour-${randomBytes(4).toString('hex')}`;
const passwords = { first: 'a passphrase for the tour', second: 'another passphrase for it' };

const redis = await connectToRedis();
let failures = 0;
let watched = [];
let keys = new Map();

try {
  await tour();
} catch (error) {
  failures += 1;
  console.error(
    `\n✗ ${error.cause?.code === 'ECONNREFUSED' ? `nothing answers at ${service}: run npm start first` : error.message}`,
  );
}
redis?.disconnect();
console.log(failures === 0 ? '\nEvery step gave the expected result.' : `\nUnexpected results: ${failures}.`);
process.exitCode = failures === 0 ? 0 : 1;

async function tour() {
  heading('First, register a user');
  const user = await ask('POST', '/auth/register', { body: { username, password: passwords.first }, status: 201 });
  if (!user.subject) throw new Error('the tour needs a user');
  watch(user.subject);
  await showChanges({ added: ['user', 'login'] });

  heading('1. The user logs in');
  await ask('POST', '/auth/login', {
    body: { username, password: 'not this one' },
    status: 401,
    code: 'invalid_credentials',
  });
  const phone = await logIn();
  await showChanges({ added: ['access', 'session', 'sessions'] });

  heading('2. The client calls a protected resource with the access token');
  await ask('GET', '/auth/session', { bearer: phone, status: 200 });
  await showChanges({});

  heading('3. An access token that is expired, revoked or unknown');
  await ask('GET', '/auth/session', {
    bearer: { access_token: `${phone.access_token.slice(0, -1)}~` },
    status: 401,
    code: 'invalid_token',
  });
  await ask('GET', '/auth/session', { status: 401, code: 'authentication_required' });

  heading('4. The client sends the refresh token');
  const renewed = await ask('POST', '/auth/refresh', { body: { refresh_token: phone.refresh_token }, status: 200 });
  await showChanges({ added: ['access'], changed: ['session'] });
  check(renewed.refresh_token !== phone.refresh_token && renewed.access_token !== phone.access_token, 'a new pair');
  const again = await ask('POST', '/auth/refresh', { body: { refresh_token: phone.refresh_token }, status: 200 });
  check(again.refresh_token === renewed.refresh_token, 'the same pair when a refresh is repeated');
  await ask('GET', '/auth/session', { bearer: renewed, status: 200 });
  await showChanges({ changed: ['session', 'access'] }, { within: 2_000 });

  heading('5. A refresh token that is not valid');
  await ask('POST', '/auth/refresh', {
    body: { refresh_token: 'lkr_' },
    status: 403,
    code: 'reauthentication_required',
    reason: 'invalid',
  });
  await ask('POST', '/auth/refresh', { status: 403, code: 'reauthentication_required', reason: 'missing' });

  heading('6. The user logs out');
  await ask('POST', '/auth/logout', { bearer: renewed, status: 204 });
  await showChanges({ added: ['ended'], removed: ['access', 'session', 'sessions'] });
  await ask('GET', '/auth/session', { bearer: renewed, status: 401, code: 'invalid_token' });
  await ask('POST', '/auth/refresh', {
    body: { refresh_token: renewed.refresh_token },
    status: 403,
    reason: 'logged_out',
  });

  heading('7. The user ends sessions on other devices and changes the password');
  const laptop = await logIn();
  const tablet = await logIn();
  const desktop = await logIn();
  await showChanges({ added: ['access', 'session', 'sessions'] });
  const { sessions } = await ask('GET', '/auth/sessions', { bearer: laptop, status: 200 });
  check(sessions.length === 3, 'three devices');
  await ask('DELETE', `/auth/sessions/${tablet.session.session_id}`, { bearer: laptop, status: 204 });
  await showChanges({ added: ['ended'], removed: ['access', 'session'] });
  await ask('GET', '/auth/session', { bearer: tablet, status: 401, code: 'invalid_token' });
  await ask('POST', '/auth/logout', { bearer: laptop, body: { scope: 'others' }, status: 204 });
  await showChanges({ added: ['ended'], removed: ['access', 'session'] });
  await ask('GET', '/auth/session', { bearer: desktop, status: 401, code: 'invalid_token' });

  const change = { current_password: passwords.first, new_password: passwords.second };
  const changed = await ask('POST', '/auth/password', { bearer: laptop, body: change, status: 200 });
  await showChanges({ added: ['access', 'session', 'ended'], removed: ['access', 'session'], changed: ['user'] });
  await ask('POST', '/auth/refresh', {
    body: { refresh_token: laptop.refresh_token },
    status: 403,
    reason: 'password_changed',
  });
  await ask('POST', '/auth/login', {
    body: { username, password: passwords.first },
    status: 401,
    code: 'invalid_credentials',
  });

  heading('For browsers, the tokens are in cookies');
  await ask('POST', '/auth/login', { body: { username, password: passwords.second }, status: 200 });
  await ask('POST', '/auth/logout', { bearer: changed, status: 204 });
  await showChanges({ removed: ['access', 'session', 'sessions'] });
  console.log(`\nThe user ${username} remains, without a session.`);
}

async function logIn() {
  return ask('POST', '/auth/login', {
    body: { username, password: passwords.first, transport: 'bearer' },
    status: 200,
  });
}

async function ask(method, path, { body, bearer, status, code, reason }) {
  const headers = {
    ...(body && { 'content-type': 'application/json' }),
    ...(bearer && { authorization: `Bearer ${bearer.access_token}` }),
  };
  console.log(
    `\n→ ${method} ${path}${bearer ? '  Authorization: Bearer lka_…' : ''}${body ? `  ${redact(body)}` : ''}`,
  );
  const reply = await fetch(service + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  const text = await reply.text();
  const answer = text === '' ? {} : JSON.parse(text);
  console.log(`← ${reply.status}${text && `  ${redact(answer)}`}`);
  for (const cookie of reply.headers.getSetCookie())
    console.log(`  Set-Cookie: ${cookie.replace(/(lk[ar]_)[\w-]+/, '$1…')}`);
  check(reply.status === status, `status ${status}`);
  if (code) check(answer.code === code, `code ${code}`);
  if (reason) check(answer.reason === reason, `reason ${reason}`);
  return answer;
}

function heading(text) {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(3, 76 - text.length))}`);
}

function check(holds, what) {
  if (holds) return;
  failures += 1;
  console.log(`  ✗ expected: ${what}`);
}

function redact(body) {
  return JSON.stringify(body, (name, value) => (name.endsWith('password') ? '…' : value)).replace(
    /(lk[ar]_)[^"]*/g,
    '$1…',
  );
}

async function connectToRedis() {
  const socket = join(process.env.DATA_DIRECTORY || SERVICE_DEFAULTS.dataDirectory, 'redis.sock');
  const location = process.env.REDIS_URL?.replace(/^unix:\/\//, '') || (existsSync(socket) ? socket : undefined);
  if (location && !location.includes(',')) {
    const client = new Redis(location, { lazyConnect: true, retryStrategy: null });
    client.on('error', () => undefined);
    if (
      await client.connect().then(
        () => true,
        () => false,
      )
    )
      return client;
  }
  console.log('Changes in Redis are not shown: there is no single server at REDIS_URL or in .latchkey/');
  return undefined;
}

function watch(subject) {
  const partition = createHash('sha256').update(subject).digest('hex').slice(0, 4);
  watched = [`${prefix}{${partition}}:*`, `${prefix}login:${username}`];
}

/** Prints how the user's keys changed since the last call, and checks that keys of the expected kinds did. */
async function showChanges(expected, { within = 0 } = {}) {
  if (!redis) return;
  const before = keys;
  const deadline = Date.now() + within;
  let changes, missing;
  do {
    keys = await snapshot();
    changes = {
      added: [...keys.keys()].filter((name) => !before.has(name)),
      changed: [...keys.keys()].filter(
        (name) => before.has(name) && before.get(name).content !== keys.get(name).content,
      ),
      removed: [...before.keys()].filter((name) => !keys.has(name)),
    };
    missing = Object.entries(expected).flatMap(([change, kinds]) =>
      kinds.filter((kind) => !changes[change].some((name) => kindOf(name) === kind)).map((kind) => `${kind} ${change}`),
    );
  } while (missing.length > 0 && Date.now() < deadline);
  for (const name of changes.added) console.log(`  redis + ${shorten(name)}  ${formatLifetime(keys.get(name).ttlMs)}`);
  for (const name of changes.changed)
    console.log(`  redis ~ ${shorten(name)}  ${formatLifetime(keys.get(name).ttlMs)}`);
  for (const name of changes.removed) console.log(`  redis - ${shorten(name)}`);
  for (const what of missing) check(false, `Redis: ${what}`);
  for (const [name, { ttlMs }] of keys) {
    check(
      (ttlMs === -1) === ['user', 'login'].includes(kindOf(name)),
      `Redis: an expiry on every key except the user's, unlike ${shorten(name)}`,
    );
  }
}

async function snapshot() {
  const found = new Map();
  for (const pattern of watched) {
    for await (const names of redis.scanStream({ match: pattern, count: 1_000 })) {
      for (const name of names) {
        const [content, ttlMs] = await Promise.all([redis.dumpBuffer(name), redis.pttl(name)]);
        if (content) found.set(name, { content: content.toString('hex'), ttlMs });
      }
    }
  }
  return found;
}

function kindOf(name) {
  return name
    .slice(prefix.length)
    .replace(/^\{\w+\}:/, '')
    .split(':')[0];
}

function shorten(name) {
  return name.replace(/[\w-]{20,}$/, (id) => `${id.slice(0, 6)}…`);
}

function formatLifetime(ttlMs) {
  if (ttlMs === -1) return 'without expiry';
  const seconds = ttlMs / 1_000;
  if (seconds < 120) return `for ${Math.round(seconds)} s`;
  return seconds < 172_800 ? `for ${Math.round(seconds / 60)} min` : `for ${Math.round(seconds / 86_400)} days`;
}
