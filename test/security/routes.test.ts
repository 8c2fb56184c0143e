import Fastify, { type RouteOptions } from 'fastify';
import t from 'tap';
import { assertNeedsDeclared } from '../../src/http/kit/route.js';
import { latchkey } from '../../src/index.js';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { bearer, browser, startService } from '../support/service.js';

// No test logs in with this provider, so none listens there.
const oidcProviders = [{ name: 'corp', issuer: 'http://127.0.0.1:1', clientId: 'latchkey', clientSecret: 'a-secret' }];
const service = await startService({ oidcProviders });
t.teardown(() => service.close());
const { inject, mint, store } = service;

/** Registers the plugin with every option that adds routes, and lists them. */
async function listRoutes(): Promise<RouteOptions[]> {
  const app = Fastify();
  const routes: RouteOptions[] = [];
  app.addHook('onRoute', (route) => void routes.push(route));
  await app.register(latchkey, {
    redis: service.client,
    tokenKeys: [TOKEN_KEY],
    oauthClients: [],
    oidcProviders,
    pages: { name: 'A host' },
  });
  await app.ready();
  await app.close();
  return routes;
}

t.test('every route declares what it needs', async (t) => {
  const routes = await listRoutes();
  t.ok(routes.length > 12);
  for (const { method, url, config } of routes) t.type(config?.needs, 'string', `${String(method)} ${url}`);
});

t.test('a route that does not declare what it needs is refused at startup', async (t) => {
  const app = Fastify();
  app.addHook('onRoute', assertNeedsDeclared);
  t.throws(() => app.get('/open', () => 'by accident'), { message: /does not declare what it needs/ });
});

t.test('every route that needs a session replies 401 without one', async (t) => {
  const closed = (await listRoutes()).filter(({ config }) => String(config?.needs).endsWith('session'));
  t.ok(closed.length >= 8);
  for (const { method, url } of closed) {
    for (const each of [method].flat()) {
      const reply = await inject({ method: each, url: url.replace(':id', 'x') });
      t.equal(reply.statusCode, 401, `${each} ${url}`);
      t.match(reply.headers['www-authenticate'], /^Bearer /);
    }
  }
});

t.test('every state-changing route that browsers use refuses requests from other sites', async (t) => {
  const changing = (await listRoutes()).filter(({ method }) => !['GET', 'HEAD'].includes(String(method)));
  const { cookie } = browser(await mint());
  const passed = [];
  for (const { method, url } of changing) {
    const path = url.replace(':id', 'x').replace(':provider', 'corp');
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'cross-site', cookie },
      { origin: 'https://evil.example', cookie },
    ]) {
      const reply = await inject({ method: String(method), url: path, headers });
      if (reply.statusCode !== 403) passed.push(url);
    }
  }
  t.same([...new Set(passed)].sort(), [
    '/auth/oidc/:provider/backchannel',
    '/oauth/introspect',
    '/oauth/revoke',
    '/oauth/token',
  ]);
  t.ok(changing.length > 12);
});

t.test('a route for one session is 404 for everyone but its owner', async (t) => {
  const [mine, theirs] = [await mint(), await mint()];
  const { subject, sessionId } = theirs.principal;
  for (const id of [
    sessionId,
    `${sessionId}%00`,
    `..%2f${sessionId}`,
    encodeURIComponent(`{a3f0}:session:${sessionId}`),
    '*',
  ]) {
    const reply = await inject({ method: 'DELETE', url: `/auth/sessions/${id}`, headers: bearer(mine) });
    t.equal(reply.statusCode, 404, id);
    t.equal(reply.json().code, 'not_found');
  }
  t.equal((await store.list(subject)).length, 1);
});

t.test('no route takes a subject, a role or a session from the body', async (t) => {
  const tokens = await mint();
  const { subject } = (await mint()).principal;
  for (const url of ['/auth/register', '/auth/login', '/auth/refresh', '/auth/logout', '/auth/password']) {
    for (const extra of [
      { subject },
      { user_id: subject },
      { session_id: 'x' },
      { methods: ['hwk'] },
      { data: { role: 'admin' } },
    ]) {
      const base = { username: 'somebody', password: PASSWORD };
      const payload = {
        ...(/register|login/.test(url)
          ? base
          : url.endsWith('password')
            ? { current_password: 'x', new_password: 'y' }
            : {}),
        ...extra,
      };
      const reply = await inject({ method: 'POST', url, payload, headers: bearer(tokens) });
      t.equal(reply.statusCode, 400, `${url} ${JSON.stringify(extra)}`);
      t.equal(reply.json().code, 'invalid_request');
    }
  }
});
