import assert, { AssertionError } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { partitionOf } from '../../src/redis/keys.js';
import { keysUnder } from '../support/audit.js';
import { TOKEN_KEY } from '../support/credentials.js';
import { rawRequest } from '../support/raw.js';
import { type StartOptions, startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  PASSWORD,
  REFRESH_COOKIE,
  startService,
  type TestService,
} from '../support/service.js';
import { type Edit, Workshop } from './weakened.js';

// Each test takes a known attack and checks that the service resists it. It then repeats the check on a copy of the
// service without the defence, where it must fail. `without` lists the text to remove from src and its replacement.

type Check = (service: TestService) => Promise<void>;

const workshop = new Workshop();
const redis = await startRedis();
t.teardown(async () => {
  await redis.stop();
  await workshop.clean();
});
/** A timeout that is long enough for a busy machine. */
const patient = { redisTimeoutMs: 10_000 };
const intact = await startService(patient, { redis });
t.teardown(() => intact.close());

const HOUR = 3_600_000;
const WRONG = 'not the right password';

/** Fails unless a check failed, by an assertion and not by another error. */
async function assertFails(check: Promise<unknown>): Promise<void> {
  const error = await check.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof AssertionError) return;
  throw new Error('The check does not fail without the defence', { cause: error });
}

function incident(
  name: string,
  {
    overrides,
    without,
    check,
  }: { overrides?: Parameters<typeof startService>[0]; without: readonly Edit[]; check: Check },
): void {
  t.test(name, async (t) => {
    const service = overrides ? await startService({ ...patient, ...overrides }, { redis }) : intact;
    try {
      await check(service);
      t.pass('the service resists');
    } finally {
      if (overrides) await service.close();
    }
    const { support } = await workshop.without(without);
    const weakened = await support.startService({ ...patient, ...overrides }, { redis });
    try {
      await assertFails(check(weakened));
      t.pass('without the defence it does not');
    } finally {
      await weakened.close();
    }
  });
}

const logIn = (
  service: TestService,
  username: string,
  { remoteAddress = '203.0.113.7', url = '/auth/login', headers = {} } = {},
) => service.inject({ method: 'POST', url, payload: { username, password: WRONG }, remoteAddress, headers });

/** Fails to log in twice where one failure is the limit. Returns the second status. */
async function tryTwice(
  service: TestService,
  first: Parameters<typeof logIn>[2] & { as?: string },
  second: Parameters<typeof logIn>[2] & { as?: string },
) {
  const name = `victim-${randomBytes(4).toString('hex')}`;
  const spell = (as = '') => (as === 'upper case' ? name.toUpperCase() : name);
  assert.equal((await logIn(service, spell(first.as), first)).statusCode, 401);
  return (await logIn(service, spell(second.as), second)).statusCode;
}

/** Finds two subjects whose keys share a hash slot, so that a script for one could reach the keys of the other. */
function findNeighbours(): [string, string] {
  const known = new Map<string, string>();
  for (;;) {
    const subject = randomBytes(16).toString('base64url');
    const neighbour = known.get(partitionOf(subject));
    if (neighbour !== undefined) return [subject, neighbour];
    known.set(partitionOf(subject), subject);
  }
}

incident('CVE-2026-1035: concurrent refreshes of one token issue one pair', {
  without: [
    ['src/sessions/token.ts', "this.#mac('refresh', token)", 'randomBytes(SECRET_BYTES)'],
    [
      'src/sessions/scripts/rotate.lua',
      'if generation == current and refresh == stored.refresh then\n  if not open then',
      'if true then\n  if true then',
    ],
  ],
  async check(service) {
    const tokens = await service.mint();
    await service.age(tokens, HOUR);
    const refresh_token = tokens.pair.refresh.token;
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => service.post('/auth/refresh', { refresh_token })),
    );
    for (const { statusCode } of replies) assert.equal(statusCode, 200);
    assert.equal(new Set(replies.map((reply) => reply.json<{ refresh_token: string }>().refresh_token)).size, 1);
    const [session] = await service.store.list(tokens.principal.subject);
    assert.equal(session!.generation, 2);
  },
});

t.test('CVE-2026-9802: a reused refresh token is still detected after Redis crashed', async (t) => {
  const checkReuseAfterCrash = async (options: StartOptions): Promise<void> => {
    const redis = await startRedis(options);
    const service = await startService(patient, { redis });
    try {
      const tokens = await service.mint();
      await service.client.save();
      await service.age(tokens, HOUR);
      const first = tokens.pair.refresh.token;
      const { access_token } = (await service.post('/auth/refresh', { refresh_token: first })).json<{
        access_token: string;
      }>();
      assert.equal((await service.get('/auth/session', { authorization: `Bearer ${access_token}` })).statusCode, 200);
      await service.store.close();
      await service.age(tokens, HOUR);
      await redis.kill();
      await redis.restart();
      let reply = await service.post('/auth/refresh', { refresh_token: first });
      await until('the service reaches Redis again', async () => {
        reply = await service.post('/auth/refresh', { refresh_token: first });
        return reply.statusCode !== 503;
      });
      assert.deepEqual([reply.statusCode, reply.json<{ reason?: string }>().reason], [403, 'reused']);
    } finally {
      await service.close().catch(() => undefined);
      await redis.stop();
    }
  };
  await checkReuseAfterCrash({});
  t.pass('the service resists');
  await assertFails(checkReuseAfterCrash({ args: ['--appendonly', 'no'] }));
  t.pass('without an append-only file it does not');
});

incident('connect-redis#328: an update that finishes after a logout does not revive the session', {
  without: [
    [
      'src/sessions/scripts/update.lua',
      "if not stored[1] then return { 'outcome', 'unknown' } end\nif stored[1] ~= expected then return { 'outcome', 'conflict', 'principal', stored[1] } end",
      '',
    ],
  ],
  async check(service) {
    const tokens = await service.mint();
    const { subject, sessionId } = tokens.principal;
    // Load the script first, so that the following commands reach Redis without a gap.
    await service.store.revokeAll('nobody', { reason: 'logged_out' });
    const [, logout, refreshed] = await Promise.all([
      // Reads before the logout and would write after it.
      service.store.update(subject, sessionId, { theme: 'dark' }),
      service.store.revokeAll(subject, { reason: 'logged_out' }),
      service.store.rotate(tokens.pair.refresh, { address: '192.0.2.1' }),
    ]);
    assert.deepEqual(logout, [sessionId]);
    assert.equal(refreshed.outcome, 'ended');
    assert.equal(await service.client.exists(service.keys.session(tokens.pair.refresh.partition, sessionId)), 0);
    assert.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 401);
  },
});

incident('CVE-2025-61928: a subject in the body of a logout ends no session of that subject', {
  without: [
    ['src/http/auth/logout.ts', '{ additionalProperties: false }', '{}'],
    [
      'src/http/flows/logout.ts',
      'const { subject, sessionId } = requester;',
      'const { sessionId } = requester;\n  const { subject } = { ...requester, ...(request.body as object) };',
    ],
  ],
  async check(service) {
    const [mine, theirs] = [await service.mint(), await service.mint()];
    await service.post('/auth/logout', { subject: theirs.principal.subject }, bearer(mine));
    assert.equal((await service.get('/auth/session', bearer(theirs))).statusCode, 200);
  },
});

incident('GHSA-x732-6j76-qmhm: other spellings of a path do not evade the limit of failed logins', {
  overrides: { loginFailuresPerAccount: 1 },
  without: [
    [
      'src/http/flows/login.ts',
      'throttle.guard({ username: credentials.username, address }',
      'throttle.guard({ username: credentials.username + request.url, address }',
    ],
  ],
  async check(service) {
    assert.equal((await logIn(service, 'victim')).statusCode, 401);
    for (const url of [
      '/auth/login',
      '//auth/login',
      '/auth//login',
      '/auth/login/',
      '/auth/login;a',
      '/auth%2flogin',
      '/AUTH/login',
      '/auth/%6cogin',
      '/auth/login?a',
    ]) {
      const { statusCode } = await logIn(service, 'victim', { url });
      assert.ok([404, 429].includes(statusCode), `${url}: ${statusCode}`);
    }
  },
});

incident('CVE-2026-45364: every spelling of an IPv6 address, and its whole /64, counts as one network', {
  overrides: { loginFailuresPerAccount: 1 },
  without: [['src/identity/network.ts', "return `${groups.slice(0, 4).join(':')}::/64`;", 'return address;']],
  async check(service) {
    const first = { remoteAddress: '2001:db8::1' };
    assert.equal(await tryTwice(service, first, { remoteAddress: '2001:0DB8:0:0:0:0:0:1' }), 429);
    assert.equal(await tryTwice(service, first, { remoteAddress: '2001:db8::ffff:2' }), 429);
  },
});

incident('GHSA-cq3f-vc6p-68fh: users end only their own sessions, even if both users share a hash slot', {
  without: [
    [
      'src/sessions/scripts/revoke.lua',
      "if not principal or (subject ~= '' and cjson.decode(principal).subject ~= subject) then",
      'if not principal then',
    ],
  ],
  async check(service) {
    const [me, neighbour] = findNeighbours();
    const [mine, theirs] = [await service.mint(me), await service.mint(neighbour)];
    const reply = await service.inject({
      method: 'DELETE',
      url: `/auth/sessions/${theirs.principal.sessionId}`,
      headers: bearer(mine),
    });
    assert.equal(reply.statusCode, 404);
    assert.equal((await service.get('/auth/session', bearer(theirs))).statusCode, 200);
  },
});

incident('CVE-2026-25223, CVE-2026-3419, CVE-2026-33806: no spelling of a content type skips validation', {
  without: [
    ['src/http/auth/logout.ts', 'body: Body,', "body: { content: { 'application/json': { schema: Body } } } as never,"],
    [
      'src/http/auth/index.ts',
      'app.removeAllContentTypeParsers();',
      "app.removeAllContentTypeParsers();\n  app.addContentTypeParser('*', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));",
    ],
  ],
  async check(service) {
    const tokens = await service.mint();
    const body = '{"scope":"everything"}';
    for (const type of [
      'application/json',
      'application/json\ta',
      ' application/json',
      '\tapplication/json',
      'application/json;',
      'application/json ; charset=utf-8',
      'APPLICATION/JSON',
      'application/json garbage',
      'application/jsonx',
      'application/json, text/plain',
      'application/vnd.api+json',
      'text/plain',
      'text/json',
      'x',
      '',
    ]) {
      const head = [
        'POST /auth/logout HTTP/1.1',
        'Host: x',
        `Authorization: ${bearer(tokens).authorization}`,
        `Content-Type:${type}`,
        `Content-Length: ${body.length}`,
        'Connection: close',
      ];
      const reply = await rawRequest(service.url, `${head.join('\r\n')}\r\n\r\n${body}`);
      assert.ok([400, 415].includes(reply!.status), `${JSON.stringify(type)}: ${reply!.status}`);
    }
    assert.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 200);
  },
});

incident('CVE-2026-3635: X-Forwarded-For is ignored unless a trusted proxy sends it', {
  overrides: { loginFailuresPerAccount: 1 },
  without: [
    ['src/server/apps.ts', 'trustProxy: config.trustProxy ? [...config.trustProxy] : false', 'trustProxy: true'],
  ],
  async check(service) {
    const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
    assert.equal(await tryTwice(service, from('198.51.100.1'), from('198.51.100.2')), 429);
  },
});

incident('CVE-2024-35220: expired tokens are refused, and using them does not renew them', {
  overrides: { accessLifetimeMs: 150, refreshLifetimeMs: 300, refreshGraceMs: 50 },
  without: [
    ['src/sessions/scripts/issue.lua', ", value, 'PXAT', accessExpiresAt)", ', value)'],
    ['src/sessions/scripts/issue.lua', "redis.call('PEXPIREAT', session, expiresAt)", ''],
  ],
  async check(service) {
    const tokens = await service.mint();
    await sleep(400);
    for (let i = 0; i < 2; i++) {
      assert.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 401);
      assert.equal((await service.post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).statusCode, 403);
    }
  },
});

incident('CVE-2022-25896: a login issues new tokens, whatever token the request carries (session fixation)', {
  without: [
    [
      'src/http/flows/login.ts',
      'origin: requestSource(request),',
      'origin: requestSource(request),\n    ...{ adopted: readAccessToken(request, services.cookies)?.token },',
    ],
    [
      'src/sessions/store.ts',
      "if (reply.outcome !== 'issued') throw new StaleCredentialError();",
      "if (reply.outcome !== 'issued') throw new StaleCredentialError();\n    const { parseAccessToken } = await import('./token.js');\n    const adopted = parseAccessToken((request as any).adopted ?? '');\n    if (adopted) await this.#redis.set(keys.access(adopted.partition, adopted.digest), reply.value, 'PX', 60000);",
    ],
  ],
  async check(service) {
    const victim = await service.register();
    const planted = await service.mint();
    const login = await service.post(
      '/auth/login',
      { username: victim.username, password: PASSWORD },
      browser(planted),
    );
    assert.equal(login.statusCode, 200);
    assert.ok(!(await service.get('/auth/session', bearer(planted))).body.includes(victim.subject));
    for (const token of [planted.pair.access.token, planted.pair.refresh.token])
      assert.ok(!String(login.headers['set-cookie']).includes(token));
  },
});

incident('CVE-2025-24806: every spelling of a username counts towards one limit of failed logins', {
  overrides: { loginFailuresPerAccount: 1 },
  without: [['src/identity/throttle.ts', "return foldUsername(username) ?? '';", 'return username;']],
  async check(service) {
    assert.equal(await tryTwice(service, {}, { as: 'upper case' }), 429);
  },
});

incident('a request with the same cookie twice is refused', {
  without: [['src/http/kit/cookies.ts', 'if (found !== undefined)', 'if (found === null)']],
  async check(service) {
    const { pair } = await service.mint();
    const cookie = `${ACCESS_COOKIE}=planted; ${ACCESS_COOKIE}=${pair.access.token}`;
    assert.equal((await service.get('/auth/session', { cookie })).statusCode, 400);
  },
});

incident('a request with a cookie whose name resembles ours is refused', {
  without: [['src/http/kit/cookies.ts', 'if (looksLike(pairName, name))', 'if (pairName === null)']],
  async check(service) {
    const { pair } = await service.mint();
    for (const name of [REFRESH_COOKIE.toLowerCase(), `${REFRESH_COOKIE}\u00a0`, '%5f%5fHttp-latchkey-refresh']) {
      const cookie = `${name}=planted; ${REFRESH_COOKIE}=${pair.refresh.token}`;
      assert.equal(
        (await service.post('/auth/refresh', undefined, { cookie, 'sec-fetch-site': 'same-origin' })).statusCode,
        400,
        name,
      );
    }
  },
});

incident('prototype pollution: no request and no patch of session data changes a prototype', {
  without: [
    [
      'src/sessions/data.ts',
      'const merged = new Map(isObject(target) ? Object.entries(target) : []);',
      'const merged: any = isObject(target) ? target : {};',
    ],
    [
      'src/sessions/data.ts',
      'if (value === null) merged.delete(name);\n    else merged.set(name, mergePatch(merged.get(name), value));',
      'merged[name] = mergePatch(merged[name], value);',
    ],
    ['src/sessions/data.ts', 'return Object.fromEntries(merged);', 'return merged;'],
  ],
  async check(service) {
    try {
      for (const body of [
        '{"__proto__":{"polluted":1}}',
        '{"username":"a","password":"b","constructor":{"prototype":{"polluted":1}}}',
      ]) {
        const reply = await service.post('/auth/login', body, { 'content-type': 'application/json' });
        assert.equal(reply.statusCode, 400);
      }
      const { principal } = await service.mint();
      const patch = JSON.parse(
        '{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}},"constructor":{"prototype":{"polluted":1}}}',
      ) as Record<string, unknown>;
      await service.app.latchkey.update(principal.subject, principal.sessionId, patch);
      assert.equal(({} as { polluted?: number }).polluted, undefined);
    } finally {
      delete (Object.prototype as { polluted?: number }).polluted;
    }
  },
});

incident('mass assignment: a registration stores no additional fields', {
  without: [
    ['src/http/auth/register.ts', '{ additionalProperties: false }', '{}'],
    [
      'src/identity/registration.ts',
      'const subject = generateSubject();\n    const keys',
      'const { subject = generateSubject() } = input as { subject?: string };\n    const keys',
    ],
    ['src/http/flows/register.ts', 'registration.register({', 'registration.register({ ...(request.body as object),'],
  ],
  async check(service) {
    const chosen = randomBytes(16).toString('base64url');
    const username = `user-${randomBytes(6).toString('hex')}`;
    const more = { subject: chosen, createdAt: 0, disabledAt: 0, methods: ['hwk'], scope: 'admin' };
    assert.equal((await service.post('/auth/register', { username, password: PASSWORD, ...more })).statusCode, 400);
    assert.equal(await service.client.exists(service.keys.user(chosen)), 0);
    const { subject } = await service.register(username);
    assert.deepEqual(Object.keys(await service.client.hgetall(service.keys.user(subject))).sort(), [
      'createdAt',
      'password',
      'passwordChangedAt',
      'username',
    ]);
  },
});

incident('key injection: a subject with { } : line breaks or NUL changes no other keys', {
  without: [
    ['src/redis/keys.ts', 'return encodeURIComponent(name).replace', 'return name; encodeURIComponent(name).replace'],
    ['src/sessions/scripts/prelude.lua', "'[^A-Za-z0-9_.~-]'", "'%z%z%z%z'"],
  ],
  async check(service) {
    const prefix = service.config.redisPrefix;
    for (const subject of [
      'a:b',
      '}:user:x',
      `x}:session:y{`,
      `${prefix}{0000}:user:z`,
      'a\r\nDEL x',
      'a\u0000b',
      'é*?[a]',
      'a\'b"c',
    ]) {
      await service.mint(subject);
    }
    for (const key of await keysUnder(service.client, prefix)) {
      assert.match(
        key.slice(prefix.length),
        /^(?:\{[0-9a-f]{4}\}:(?:access|session|sessions|user|ended|endings)|login|throttle:\w+):[\w.~%:-]+$/,
      );
      assert.ok(!key.includes('sessions:') || !key.split('sessions:')[1]!.includes(':'), key);
    }
  },
});

incident('Lua injection: input is never part of a script', {
  without: [
    [
      'src/redis/script.ts',
      'return await client.evalsha(sha, keys.length, ...values);',
      "return await client.eval(`local ARGV = { ${args.map((name) => `'${input.args[name]}'`).join(', ')} }\\n${source}`, keys.length, ...keys.map((name) => input.keys[name]));",
    ],
  ],
  async check(service) {
    const device = "'} redis.call('SET', KEYS[2] .. ':injected', '1', 'PX', 5000) local x = {'";
    const subject = randomBytes(16).toString('base64url');
    // Only the effect on Redis matters, not the answer.
    await service.app.latchkey
      .issue({ identity: { subject, methods: ['pwd'] }, origin: { device, address: '192.0.2.1' } })
      .catch(() => undefined);
    assert.equal(await service.client.exists(`${service.keys.sessions(subject)}:injected`), 0);
  },
});

incident('header injection: a subject with a line break adds no header', {
  without: [['src/http/auth/verify.ts', 'encodeURIComponent(subject)', 'subject']],
  async check(service) {
    for (const subject of ['a,b: c', 'a\r\nx-injected: 1', 'ä\u0000']) {
      const reply = await service.get('/auth/verify', bearer(await service.mint(subject)));
      assert.equal(reply.statusCode, 200);
      assert.equal(reply.headers['x-latchkey-subject'], encodeURIComponent(subject));
      assert.equal(reply.headers['x-injected'], undefined);
    }
  },
});

incident('open redirect: after a login, users are only sent to a path of this site', {
  without: [
    [
      'src/http/kit/local-path.ts',
      "if (!to.startsWith('/') || url?.origin !== PLACEHOLDER_ORIGIN || url.pathname.startsWith('//')) return undefined;\n  return url.pathname + url.search + url.hash;",
      'return to;',
    ],
  ],
  async check(service) {
    const headers = browser(await service.mint());
    for (const to of [
      '//evil.example',
      '/\\evil.example',
      '\\\\evil.example',
      '/.//evil.example',
      '/a/..//evil.example',
      '/\t/evil.example',
      '/\n/evil.example',
      'https://evil.example',
      'https:evil.example',
      'javascript:alert(1)',
      '///evil.example',
      '/%2f/evil.example',
      'evil.example',
      '/@evil.example',
      '.evil.example',
      '/a\r\nset-cookie: b=c',
    ]) {
      const reply = await service.get(`/auth/continue?to=${encodeURIComponent(to)}`, headers);
      if (reply.statusCode === 400) continue;
      assert.equal(reply.statusCode, 303, to);
      assert.equal(new URL(reply.headers.location!, 'https://ours.example').origin, 'https://ours.example', to);
    }
  },
});

t.test('log injection: input forges no line of the log', async (t) => {
  const checkLog = async (edits: readonly Edit[]): Promise<void> => {
    const { directory } = await workshop.without(edits);
    const env = {
      PATH: process.env.PATH,
      PORT: '0',
      INTERNAL_PORT: '0',
      REDIS_URL: redis.url,
      REDIS_PREFIX: `${randomBytes(4).toString('hex')}:`,
      TOKEN_KEYS: TOKEN_KEY,
    };
    const child = spawn(process.execPath, [join(directory, 'src/server/main.js')], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    const seen = async (pattern: RegExp): Promise<string> => {
      await until(`the service writes ${pattern}`, () => pattern.test(output));
      return pattern.exec(output)![1]!;
    };
    try {
      const url = await seen(/ready at (http:[^\s"]+)/);
      const username = 'x"}\n{"event":"forged"}\n';
      await fetch(`${url}/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'x","event":"forged' },
        body: JSON.stringify({ username, password: username }),
      });
      await seen(/("event":"login"|login failure)/);
      const events = output
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as { event?: string });
      assert.ok(!events.some(({ event }) => event === 'forged'));
    } finally {
      child.kill();
    }
  };
  await checkLog([]);
  t.pass('the service resists');
  await assertFails(
    checkLog([
      [
        'src/http/flows/login.ts',
        'const address = request.ip;',
        'const address = request.ip;\n  process.stdout.write(`login failure ${credentials.username}\\n`);',
      ],
    ]),
  );
  t.pass('a service that logs events as text does not');
});
