import { relative } from 'node:path';
import { Writable } from 'node:stream';
import cookie from '@fastify/cookie';
import Fastify, { type FastifyInstance } from 'fastify';
import t from 'tap';
import { latchkey, type LatchkeyOptions } from '../../src/plugin.js';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { setCookies } from '../support/service.js';
import { createSocketPath } from './support.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();

async function host(
  options: Partial<LatchkeyOptions> = {},
  prepare: (app: FastifyInstance) => unknown = () => undefined,
) {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(line, _encoding, done) {
      lines.push(JSON.parse(String(line)) as Record<string, unknown>);
      done();
    },
  });
  const app = Fastify({ logger: { level: 'info', stream } });
  await prepare(app);
  await app.register(latchkey, { redis: client, tokenKeys: [TOKEN_KEY], ...options });
  t.teardown(() => app.close());
  return { app, lines };
}

let users = 0;
async function logIn(app: FastifyInstance, transport = 'bearer') {
  const credentials = { username: `user-${++users}`, password: PASSWORD };
  await app.inject({ method: 'POST', url: '/auth/register', payload: credentials });
  return app.inject({ method: 'POST', url: '/auth/login', payload: { ...credentials, transport } });
}

t.test('the plugin accepts one Redis client for everything, or two that share the work', async (t) => {
  for (const clients of [client, { lookups: redis.client(), scripts: redis.client() }]) {
    const { app } = await host({ redis: clients });
    const { access_token } = (await logIn(app)).json();
    const reply = await app.inject({ url: '/auth/session', headers: { authorization: `Bearer ${access_token}` } });
    t.equal(reply.statusCode, 200);
  }
});

t.test('without options, the plugin uses the default lifetimes and key prefix', async (t) => {
  const { app } = await host();
  const { expires_in, refresh_expires_in, session } = (await logIn(app)).json();
  t.same([expires_in, refresh_expires_in], [900, 2_592_000]);
  t.equal((await client.keys(`lk:{*}:session:${session.session_id}`)).length, 1);
});

t.test('options of the plugin replace the default lifetimes, limits and key prefix', async (t) => {
  const { app } = await host({
    redisPrefix: 'mine:',
    accessLifetimeMs: 60_000,
    refreshLifetimeMs: 3_600_000,
    sessionsPerUser: 1,
    passwordMinLength: 20,
  });
  const { expires_in, refresh_expires_in, session } = (await logIn(app)).json();
  t.same([expires_in, refresh_expires_in], [60, 3_600]);
  t.equal((await client.keys(`mine:{*}:session:${session.session_id}`)).length, 1);
  const short = await app.inject({
    method: 'POST',
    url: '/auth/register',
    payload: { username: 'x', password: 'sixteen and more' },
  });
  t.equal(short.json().reason, 'too_short');
});

t.test('each authentication event is logged by default', async (t) => {
  const { app, lines } = await host();
  const { session } = (await logIn(app)).json();
  const { subject, session_id: sessionId } = session;
  t.match(
    lines.filter(({ event }) => event),
    [
      { level: 30, msg: 'register success', event: 'register', outcome: 'success', subject, address: '127.0.0.1' },
      { level: 30, msg: 'login success', event: 'login', outcome: 'success', subject, sessionId, address: '127.0.0.1' },
    ],
  );
  await app.inject({ method: 'POST', url: '/auth/login', payload: { username: 'nobody', password: PASSWORD } });
  t.match(lines.filter(({ event }) => event).slice(2), [
    { msg: 'login failure', event: 'login', reason: 'invalid_credentials' },
  ]);
});

t.test('onEvent receives each authentication event instead of the log', async (t) => {
  const events: unknown[] = [];
  const { app, lines } = await host({ onEvent: (event) => events.push(event) });
  await logIn(app);
  t.match(events, [{ event: 'register' }, { event: 'login' }]);
  t.same(
    lines.filter(({ event }) => event),
    [],
  );
});

t.test('a failed confirmation is logged without the Redis command, which holds a digest', async (t) => {
  const { app, lines } = await host();
  const first = (await logIn(app)).json();
  const { access_token } = (
    await app.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: first.refresh_token } })
  ).json();
  const [key] = (await client.keys(`lk:{*}:session:${first.session.session_id}`)) as [string];
  await client.set(key, 'no hash', 'PX', 60_000);
  const reply = await app.inject({ url: '/auth/session', headers: { authorization: `Bearer ${access_token}` } });
  t.equal(reply.statusCode, 200);
  await until('it is logged', async () => lines.some(({ level }) => level === 40));
  const warning = lines.find(({ level }) => level === 40)!;
  t.match(warning, {
    msg: 'Could not record that a token pair reached its client; its next request retries',
    err: { message: /WRONGTYPE/ },
  });
  t.notMatch(JSON.stringify(warning), /evalsha|"args"/);
});

t.test('a host that registered @fastify/cookie keeps it', async (t) => {
  const { app } = await host({}, (app) => app.register(cookie));
  app.get('/mine', (request, reply) => reply.setCookie('mine', request.cookies.a ?? 'none').send('ok'));
  t.match(setCookies(await app.inject({ url: '/mine', headers: { cookie: 'a=b' } })), [{ name: 'mine', value: 'b' }]);
  t.equal(setCookies(await logIn(app, 'cookie')).length, 2);
});

t.test('the plugin leaves the routes, parsers and validators of the host unchanged', async (t) => {
  const { app } = await host({}, (app) => {
    app.addContentTypeParser('text/csv', { parseAs: 'string' }, (_request, body, done) => done(null, body));
    app.setErrorHandler((_error, _request, reply) => reply.code(418).send('the host’s'));
  });
  app.post('/csv', (request) => request.body);
  app.get('/broken', () => {
    throw new Error('broken');
  });
  const csv = await app.inject({
    method: 'POST',
    url: '/csv',
    headers: { 'content-type': 'text/csv', 'sec-fetch-site': 'cross-site' },
    payload: 'a,b',
  });
  t.equal(csv.body, 'a,b');
  t.equal(csv.headers['cache-control'], undefined);
  t.equal((await app.inject('/broken')).statusCode, 418);
  t.equal((await app.inject('/nowhere')).json().message, 'Route GET:/nowhere not found');
  const ours = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'text/csv' },
    payload: 'a,b',
  });
  t.equal(ours.json().code, 'unsupported_media_type');
});

t.test('an error that a hook of the host throws keeps its status', async (t) => {
  const { app } = await host({}, (app) => {
    app.addHook('onRequest', async ({ headers }) => {
      if (headers.fail) throw Object.assign(new Error('the host’s'), { statusCode: Number(headers.fail) });
    });
  });
  const codes = {
    400: 'invalid_request',
    404: 'not_found',
    413: 'payload_too_large',
    415: 'unsupported_media_type',
    429: 'too_many_requests',
    500: 'internal_error',
    503: 'unavailable',
  };
  for (const [status, code] of Object.entries(codes)) {
    const reply = await app.inject({ url: '/auth/session', headers: { fail: status } });
    t.equal(reply.statusCode, Number(status));
    t.equal(reply.json().code, code);
  }
});

t.test('without publicOrigins, every address that the app listens on is a trusted origin', async (t) => {
  for (const address of ['127.0.0.1', '::1']) {
    const { app } = await host();
    const url = new URL(await app.listen({ host: address, port: 0 }));
    const refreshFrom = (origin: string) =>
      app.inject({ method: 'POST', url: '/auth/refresh', headers: { cookie: '__Host-Http-latchkey=x', origin } });
    t.equal((await refreshFrom(url.origin)).json().code, 'reauthentication_required');
    t.equal((await refreshFrom(`http://localhost:${url.port}`)).json().code, 'reauthentication_required');
    t.equal((await refreshFrom('http://localhost:1')).json().code, 'cross_site_request');
  }
  const { app } = await host();
  await app.listen({ path: relative('', await createSocketPath(t)) });
  t.equal(app.server.listening, true, 'a socket has no origin');
});
