import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { bearer, PASSWORD, startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());

t.test('the internal listener reports liveness and readiness, and serves no public route', async (t) => {
  const { internal } = service;
  t.same((await internal.inject('/livez')).json(), { status: 'alive' });
  t.same((await internal.inject('/readyz')).json(), { status: 'ready' });
  t.equal((await internal.inject('/auth/session')).statusCode, 404, 'no public route');
});

t.test('the public listener serves no internal route', async (t) => {
  for (const url of ['/livez', '/readyz', '/admin/subjects/x', '/metrics'])
    t.equal((await service.get(url)).statusCode, 404);
});

t.test('X-Forwarded-For is used only from a trusted proxy', async (t) => {
  const addressOf = async (behind: typeof service) => {
    const { username } = await behind.register();
    const headers = { 'x-forwarded-for': '198.51.100.7, 203.0.113.9' };
    const login = await behind.post('/auth/login', { username, password: PASSWORD, transport: 'bearer' }, headers);
    const { sessions } = (
      await behind.get('/auth/sessions', { authorization: `Bearer ${login.json().access_token}` })
    ).json();
    return sessions[0].address as string;
  };
  t.equal(await addressOf(service), '127.0.0.1');
  for (const [trustProxy, address] of [
    [['loopback'], '203.0.113.9'],
    [['loopback', '203.0.113.0/24'], '198.51.100.7'],
  ] as const) {
    const behind = await startService({ trustProxy }, { redis: service.redis });
    t.teardown(() => behind.close());
    t.equal(await addressOf(behind), address);
  }
});

t.test('a closing app answers pending requests and does not wait for unused connections', async (t) => {
  const closing = await startService({}, { redis: service.redis });
  const { username } = await closing.register();
  const { hostname, port } = new URL(closing.url);
  const silent = connect(Number(port), hostname);
  await once(silent, 'connect');
  let received = '';
  silent.on('data', (chunk) => (received += chunk.toString())).on('error', () => undefined);
  const login = fetch(`${closing.url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: PASSWORD }),
  });
  await once(closing.app.server, 'request');
  await closing.close();
  t.equal(received, '', 'the unused connection is closed before it times out with a 408');
  t.equal((await login).status, 200);
});

t.test('Strict-Transport-Security is sent only if all public origins are https', async (t) => {
  const tokens = await service.mint();
  for (const [publicOrigins, expected] of [
    [['https://a.example'], 'max-age=31536000'],
    [['https://a.example', 'http://localhost:3000'], undefined],
  ] as const) {
    const app = await startService(
      { publicOrigins, redisPrefix: service.config.redisPrefix },
      { redis: service.redis },
    );
    t.teardown(() => app.close());
    t.equal((await app.get('/auth/session', bearer(tokens))).headers['strict-transport-security'], expected);
  }
});
