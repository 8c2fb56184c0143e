import Fastify from 'fastify';
import type { Redis } from 'ioredis';
import t from 'tap';
import latchkey, {
  type AuthEvent,
  InvalidSubjectError,
  type Latchkey,
  LatchkeyError,
  type LatchkeyOptions,
  StaleCredentialError,
  UnavailableError,
} from '../../src/index.js';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { setCookies } from '../support/service.js';
import { createSocketPath, hostApp, ORIGIN } from './support.js';

const server = await startRedis();
t.teardown(() => server.stop());
const redis = server.client();
const identity = { subject: 'ada', methods: ['pwd'] };
const bearerOf = ({ pair }: { pair: { access: { token: string } } }) => ({
  authorization: `Bearer ${pair.access.token}`,
});

t.test('app.latchkey issues, authenticates, lists, updates and revokes sessions', async (t) => {
  const app = await hostApp(t, redis);
  const { latchkey } = app;
  const tokens = await latchkey.issue({ identity: { ...identity, data: { theme: 'dark' } }, origin: ORIGIN });
  const { sessionId } = tokens.principal;
  t.match(await latchkey.authenticate(tokens.pair.access.token), {
    subject: 'ada',
    sessionId,
    data: { theme: 'dark' },
  });
  t.match(await latchkey.list('ada'), [{ sessionId, device: 'a test' }]);
  t.match(await latchkey.get('ada', sessionId), { sessionId, subject: 'ada' });
  t.match(await latchkey.update('ada', sessionId, { theme: 'light' }), { theme: 'light' });
  const other = await latchkey.issue({ identity, origin: ORIGIN });
  t.equal(await latchkey.revoke('ada', sessionId, 'revoked'), true);
  t.equal(await latchkey.authenticate(tokens.pair.access.token), undefined);
  await latchkey.revokeAll('ada', { reason: 'revoked' });
  t.equal(await latchkey.authenticate(other.pair.access.token), undefined);
  await t.rejects(latchkey.issue({ identity: { ...identity, subject: '' }, origin: ORIGIN }), InvalidSubjectError);
  for (const each of [InvalidSubjectError, StaleCredentialError, UnavailableError])
    t.ok(each.prototype instanceof LatchkeyError);
});

t.test('request.principal is set only on routes that require a session', async (t) => {
  const app = await hostApp(t, redis);
  const tokens = await app.latchkey.issue({ identity, origin: ORIGIN });
  t.match((await app.inject({ url: '/me', headers: bearerOf(tokens) })).json(), { subject: 'ada' });
  t.same((await app.inject('/open')).json(), { open: true });
  const refused = await app.inject('/me');
  t.equal(refused.statusCode, 401);
  t.match(refused.headers['www-authenticate'], /^Bearer realm/);
  t.match(refused.json(), { code: 'authentication_required' });
});

t.test('requireSession refuses cross-site requests that carry the access cookie', async (t) => {
  const app = await hostApp(t, redis, { publicOrigins: ['https://app.example'] });
  const { pair } = await app.latchkey.issue({ identity, origin: ORIGIN });
  const cookie = `__Host-Http-latchkey=${pair.access.token}`;
  const post = (headers: Record<string, string>) =>
    app.inject({ method: 'POST', url: '/me', headers: { cookie, ...headers } });
  t.equal((await post({ origin: 'https://evil.example' })).statusCode, 403);
  t.equal((await post({ origin: 'https://app.example' })).statusCode, 200);
});

t.test('requireSession refuses a session that lacks one of the required scopes', async (t) => {
  const app = await hostApp(t, redis);
  for (const [scope, status] of [
    ['orders:write orders:read', 200],
    ['orders:read', 403],
    [undefined, 403],
  ] as const) {
    const tokens = await app.latchkey.issue({
      identity: { ...identity, ...(scope !== undefined && { scope }) },
      origin: ORIGIN,
    });
    const reply = await app.inject({ url: '/write', headers: bearerOf(tokens) });
    t.equal(reply.statusCode, status);
    if (status === 403)
      t.equal(
        reply.headers['www-authenticate'],
        'Bearer realm="latchkey", error="insufficient_scope", scope="orders:read orders:write"',
      );
  }
});

t.test('requireSession refuses a login that is older than recentMs', async (t) => {
  const app = await hostApp(t, redis);
  const [seconds] = await redis.time();
  for (const [age, status] of [
    [30_000, 200],
    [90_000, 401],
  ] as const) {
    const tokens = await app.latchkey.issue({
      identity,
      origin: ORIGIN,
      authenticatedAt: Number(seconds) * 1000 - age,
    });
    const reply = await app.inject({ url: '/recent', headers: bearerOf(tokens) });
    t.equal(reply.statusCode, status);
    if (status === 401) t.match(reply.json(), { code: 'insufficient_user_authentication' });
  }
});

t.test('with verifyCredentials, only users of the host can log in', async (t) => {
  const events: AuthEvent[] = [];
  const app = await hostApp(t, redis, {
    onEvent: (event) => events.push(event),
    verifyCredentials: async ({ username, password }) => {
      const subject = `host:${username}`;
      return password === 'sesame' ? { subject, username, methods: ['pwd', 'otp'] } : { verified: false, subject };
    },
  });
  const login = (password: string) =>
    app.inject({ method: 'POST', url: '/auth/login', payload: { username: 'ada', password, transport: 'bearer' } });
  t.equal((await login('wrong')).statusCode, 401);
  const reply = await login('sesame');
  t.match(reply.json(), { session: { subject: 'host:ada', methods: ['pwd', 'otp'] } });
  t.match(events, [
    { event: 'login', outcome: 'failure', subject: 'host:ada' },
    { event: 'login', outcome: 'success', subject: 'host:ada' },
  ]);
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/register', payload: { username: 'ada', password: PASSWORD } }))
      .statusCode,
    404,
  );
  t.equal((await app.inject({ method: 'POST', url: '/auth/password', payload: {} })).statusCode, 404);
});

t.test('every way in which verifyCredentials says that the password is wrong counts as a failed login', async (t) => {
  const wrong: [result: unknown, subject?: string][] = [
    [undefined],
    [null],
    [false],
    [{ verified: false }],
    [{ verified: false, subject: 'host:1' }, 'host:1'],
    [{ verified: 0, subject: 'host:1' }, 'host:1'],
  ];
  for (const [i, [result, subject]] of wrong.entries()) {
    const events: AuthEvent[] = [];
    const app = await hostApp(t, redis, {
      loginFailuresPerAccount: 2,
      onEvent: (event) => events.push(event),
      verifyCredentials: async () => result as undefined,
    });
    const login = () =>
      app.inject({ method: 'POST', url: '/auth/login', payload: { username: `guessed-${i}`, password: PASSWORD } });
    for (const status of [401, 401, 429]) t.equal((await login()).statusCode, status, JSON.stringify(result));
    const failure = { event: 'login', outcome: 'failure', address: '127.0.0.1' };
    const refused = { ...failure, ...(subject !== undefined && { subject }), reason: 'invalid_credentials' };
    t.same(events, [refused, refused, { ...failure, reason: 'too_many_requests' }], JSON.stringify(result));
  }
});

t.test('options that are out of range or contradict each other are refused on registration', async (t) => {
  const wrong: [Partial<LatchkeyOptions>, string][] = [
    [{ accessLifetimeMs: Number.NaN }, 'accessLifetimeMs must be a whole number of at least 1'],
    [{ sessionLifetimeMs: Infinity }, 'sessionLifetimeMs must be a whole number of at least 1'],
    [{ refreshGraceMs: -1 }, 'refreshGraceMs must be a whole number of at least 0'],
    [{ sessionsPerUser: 0 }, 'sessionsPerUser must be a whole number of at least 1'],
    [{ loginFailuresPerAccount: 0.5 }, 'loginFailuresPerAccount must be a whole number of at least 1'],
    [{ revocationReplicas: -1 }, 'revocationReplicas must be a whole number of at least 0'],
    [{ refreshGraceMs: 900_000 }, 'refreshGraceMs must be shorter than accessLifetimeMs'],
    [{ refreshRetryWindowMs: 1_000 }, 'refreshRetryWindowMs must not be shorter than refreshGraceMs'],
    [{ refreshLifetimeMs: 60_000 }, 'accessLifetimeMs must not be longer than refreshLifetimeMs'],
    [{ sessionLifetimeMs: 86_400_000 }, 'refreshLifetimeMs must not be longer than sessionLifetimeMs'],
  ];
  for (const [options, message] of wrong) await t.rejects(hostApp(t, redis, options), { name: 'RangeError', message });
  await t.resolves(hostApp(t, redis, { recentAuthenticationMs: 0, refreshGraceMs: 0 }));
  const withNulls = { workers: null, loginPage: null, registration: null } as unknown as Partial<LatchkeyOptions>;
  const app = await hostApp(t, redis, withNulls);
  t.match((await app.inject('/auth/continue')).headers.location, /^\/login\?/, 'null means the default');
});

t.test('the options cookieName and passwordMinLength are applied', async (t) => {
  const app = await hostApp(t, redis, { cookieName: 'mine', passwordMinLength: 20 });
  const post = (url: string, password: string) =>
    app.inject({ method: 'POST', url, payload: { username: 'ada', password } });
  t.equal((await post('/auth/register', 'nineteen characters')).statusCode, 422);
  t.equal((await post('/auth/register', PASSWORD)).statusCode, 201);
  t.same(
    setCookies(await post('/auth/login', PASSWORD)).map(({ name }) => name),
    ['__Host-Http-mine', '__Http-mine-refresh'],
  );
});

t.test('pages and OAuth endpoints exist only if their options are given', async (t) => {
  const plain = await hostApp(t, redis);
  const full = await hostApp(t, redis, { pages: { name: 'Shop' }, oauthClients: [] });
  for (const url of ['/login', '/.well-known/oauth-authorization-server']) {
    t.equal((await plain.inject(url)).statusCode, 404);
    t.equal((await full.inject(url)).statusCode, 200);
  }
  const own = await hostApp(t, redis, { pages: { name: 'Shop' }, passwordMinLength: 21 });
  t.match((await own.inject('/register')).body, 'minlength="21"');
});

t.test('two instances with two prefixes in one app share no users, cookies or sessions', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  const receivers: string[] = [];
  const instances: Latchkey[] = [];
  for (const name of ['staff', 'customers']) {
    await app.register(async (scope) => {
      const options = {
        redis,
        tokenKeys: [TOKEN_KEY] as const,
        redisPrefix: `${name}:`,
        prefix: `/${name}/auth`,
        onEvent: () => receivers.push(name),
      };
      await scope.register(latchkey, options);
      scope.get(`/${name}`, { onRequest: scope.latchkey.requireSession() }, (request) => ({
        of: request.principal!.subject,
      }));
      instances.push(scope.latchkey);
    });
  }
  t.notOk(app.hasDecorator('latchkey'), 'the app around them is not decorated');
  const post = (name: string, path: string, headers = {}) =>
    app.inject({
      method: 'POST',
      url: `/${name}/auth/${path}`,
      headers,
      ...(path !== 'logout' && { payload: { username: 'ada', password: PASSWORD } }),
    });

  t.equal((await post('staff', 'register')).statusCode, 201);
  t.equal((await post('customers', 'login')).statusCode, 401, 'a user of one instance is unknown to the other');
  const cookies = setCookies(await post('staff', 'login'));
  t.same(
    cookies.map(({ name, attributes }) => [name, attributes.path]),
    [
      ['__Host-Http-latchkey-staff-auth', '/'],
      ['__Http-latchkey-staff-auth-refresh', '/staff/auth'],
    ],
  );
  t.same(new Set(receivers), new Set(['staff', 'customers']));
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  t.equal((await app.inject({ url: '/staff', headers: { cookie } })).statusCode, 200);
  t.equal((await app.inject({ url: '/customers', headers: { cookie } })).statusCode, 401);

  const [staff, customers] = await Promise.all(instances.map((each) => each.issue({ identity, origin: ORIGIN })));
  t.equal((await app.inject({ url: '/customers', headers: bearerOf(staff!) })).statusCode, 401);
  t.equal((await post('staff', 'logout', bearerOf(staff!))).statusCode, 204);
  t.equal(
    (await app.inject({ url: '/customers', headers: bearerOf(customers!) })).statusCode,
    200,
    'the same subject there stays logged in',
  );
});

t.test("the plugin defines nothing on the host's client and leaves it open", async (t) => {
  const own: Redis = server.client();
  await own.ping();
  const before = new Set(Object.getOwnPropertyNames(own));
  const properties = Object.keys(own).sort();
  const app = await hostApp(t, own);
  t.same(Object.keys(own).sort(), properties);
  const tokens = await app.latchkey.issue({ identity, origin: ORIGIN });
  await app.inject({ url: '/me', headers: bearerOf(tokens) });
  t.same(
    Object.getOwnPropertyNames(own).filter((name) => !before.has(name) && typeof Reflect.get(own, name) === 'function'),
    [],
  );
  t.same(own.scriptsSet, {});
  await app.close();
  t.equal(await own.ping(), 'PONG');
});

t.test('without publicOrigins, requests must come from an address that the app listens on', async (t) => {
  for (const host of ['127.0.0.1', '::1']) {
    const app = await hostApp(t, redis);
    const { port } = new URL(await app.listen({ port: 0, host }));
    const { pair } = await app.latchkey.issue({ identity, origin: ORIGIN });
    const ask = (origin: string) =>
      app.inject({
        method: 'POST',
        url: '/me',
        headers: { cookie: `__Host-Http-latchkey=${pair.access.token}`, origin },
      });
    const literal = host.includes(':') ? `[${host}]` : host;
    for (const name of ['localhost', literal]) t.equal((await ask(`http://${name}:${port}`)).statusCode, 200, name);
    for (const other of [`http://evil.example:${port}`, 'http://localhost:1'])
      t.equal((await ask(other)).statusCode, 403, other);
  }
});

t.test('an app that listens on a Unix socket starts without any origin', async (t) => {
  const app = await hostApp(t, redis);
  await t.resolves(app.listen({ path: await createSocketPath(t) }));
});
