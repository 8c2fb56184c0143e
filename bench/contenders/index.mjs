import { fileURLToPath } from 'node:url';
import { startPeer, startService } from '../lib/processes.mjs';
import { issueTo, newSubject, openStore, seed } from '../lib/latchkey.mjs';

const ACCESS_COOKIE = '__Host-Http-latchkey';
const SESSIONS = 1000;

/** Starts the service and issues one session. */
async function service(redis, transport, options) {
  const started = await startService(redis, options);
  const store = await openStore(redis.url);
  const subject = newSubject();
  const { pair } = await issueTo(store, subject);
  await store.end();
  const { token } = pair.access;
  const headers = transport === 'bearer' ? bearer(token) : { cookie: `${ACCESS_COOKIE}=${token}` };
  return { ...started, request: { path: '/auth/session', headers, contains: subject } };
}

/** Starts the service and issues sessions that take turns, so that no two requests of an event-loop turn share a read. */
async function serviceForMany(redis, options) {
  const started = await startService(redis, options);
  const store = await openStore(redis.url);
  const issued = await seed(store, SESSIONS);
  await store.end();
  const tokens = issued.map(({ pair }) => pair.access.token);
  const request = {
    path: '/auth/session',
    headers: bearer(tokens[0]),
    contains: issued[0].principal.subject,
    script: 'tokens',
    lines: tokens,
  };
  return { ...started, request };
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });

const peer = (script, variant) => (redis, options) => startPeer(redis, { script, variant }, options);

const oneGet = { nodeOptions: ['--import', fileURLToPath(new URL('./one-get.mjs', import.meta.url))] };

/** The contenders in the order of the table, and how each is configured. */
export const contenders = {
  bare: {
    label: 'bare Fastify',
    configuration: 'no session at all: a route with a response schema that returns a constant. The upper limit',
    start: peer('bare.mjs'),
  },
  latchkey: {
    label: 'latchkey, the service',
    configuration: '`node dist/server/main.js` with its defaults: `GET /auth/session`, cookie',
    start: (redis, options) => service(redis, 'cookie', options),
  },
  'latchkey-bearer': {
    label: 'latchkey, the service, bearer',
    configuration: 'the same, `Authorization: Bearer`',
    start: (redis, options) => service(redis, 'bearer', options),
  },
  'latchkey-many': {
    label: 'latchkey, the service, 1,000 sessions',
    configuration: 'the same, with another session in each request, so that no two share a read',
    start: serviceForMany,
  },
  'latchkey-host': {
    label: 'latchkey in a host application',
    configuration: "the plugin in another Fastify app: its `requireSession()` before the app's own route, cookie",
    start: peer('latchkey-host.mjs', 'cookie'),
  },
  'latchkey-host-bearer': {
    label: 'latchkey in a host application, bearer',
    configuration: 'the same, `Authorization: Bearer`',
    start: peer('latchkey-host.mjs', 'bearer'),
  },
  'one-get': {
    label: 'latchkey, one GET per request',
    configuration: 'the service with its batched lookups replaced by one `GET` per request, cookie',
    start: (redis, options = {}) =>
      service(redis, 'cookie', { ...options, nodeOptions: [...oneGet.nodeOptions, ...(options.nodeOptions ?? [])] }),
  },
  'jwt-hs256': {
    label: '@fastify/jwt HS256',
    configuration:
      'defaults, with its `cookie` option and @fastify/cookie; `jwtVerify` in an `onRequest` hook. Its cache of verified tokens is off, as by default',
    start: peer('jwt.mjs', 'HS256 cookie'),
  },
  'jwt-hs256-bearer': {
    label: '@fastify/jwt HS256, bearer',
    configuration: 'the same without @fastify/cookie',
    start: peer('jwt.mjs', 'HS256 bearer'),
  },
  'jwt-eddsa': {
    label: '@fastify/jwt EdDSA',
    configuration: 'Ed25519 keys, otherwise like HS256 with a cookie',
    start: peer('jwt.mjs', 'EdDSA cookie'),
  },
  'jwt-eddsa-bearer': {
    label: '@fastify/jwt EdDSA, bearer',
    configuration: 'the same without @fastify/cookie',
    start: peer('jwt.mjs', 'EdDSA bearer'),
  },
  'fastify-session': {
    label: '@fastify/session',
    configuration:
      'defaults (`rolling`, `saveUninitialized`), connect-redis on node-redis, `cookie.secure: false` as its README asks for plain HTTP',
    start: peer('fastify-session.mjs'),
  },
  'fastify-session-fixed': {
    label: '@fastify/session, rolling off',
    configuration: 'the same with `rolling: false`',
    start: peer('fastify-session.mjs', 'rolling off'),
  },
  'express-session': {
    label: 'express-session',
    configuration:
      "Express 5, connect-redis on node-redis, `resave: false`, `saveUninitialized: false`: connect-redis's README",
    start: peer('express-session.mjs'),
  },
  'better-auth-http': {
    label: 'better-auth over HTTP',
    configuration:
      '`toNodeHandler` on node:http, `GET /api/auth/get-session`; users in its memory adapter, sessions in Redis by `@better-auth/redis-storage`; cookie cache off, as by default; rate limit off, or it would refuse the load',
    start: peer('better-auth.mjs', 'http'),
  },
  'better-auth-api': {
    label: 'better-auth through its API',
    configuration: 'the same, `auth.api.getSession` in a Fastify route',
    start: peer('better-auth.mjs', 'api'),
  },
  'oidc-provider': {
    label: 'oidc-provider introspection',
    configuration:
      'an opaque access token with its grant; a Redis adapter that keeps each model as one string, like the example in its repository; a static client, `client_secret_basic`',
    start: peer('oidc-provider.mjs'),
  },
};

/** Sends the request that the load repeats. Throws unless the answer is 200 and contains the subject. */
export async function probe({ origin, request: { path, headers, body, contains } }) {
  const response = await fetch(origin + path, { method: body ? 'POST' : 'GET', headers, body });
  const text = await response.text();
  if (response.status !== 200 || !text.includes(contains))
    throw new Error(`${origin}${path} answered ${response.status}: ${text.slice(0, 200)}`);
}
