import t from 'tap';
import { loadConfig } from '../../src/server/config/load.js';
import { serve } from '../../src/server/serve.js';
import { startRedis } from '../support/redis.js';

const PASSWORD = 'correct horse battery staple';

t.test('what waits for replicas holds up nothing else', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const env = { NODE_ENV: 'test', LOG_LEVEL: 'silent', PORT: '0', INTERNAL_PORT: '0', REVOCATION_REPLICAS: '1' };
  const location = {
    kind: 'standalone',
    host: redis.host,
    port: redis.port,
    db: 0,
    tls: false,
    username: undefined,
    password: undefined,
  } as const;
  const running = await serve(
    { ...loadConfig(env), tokenKeys: ['a secret of at least thirty-two characters'] },
    location,
  );
  t.teardown(() => running.stop());

  async function post(path: string, body: object, token?: string) {
    const begun = performance.now();
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const reply = await fetch(`http://127.0.0.1:${running.port}/auth${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return {
      status: reply.status,
      body: (await reply.json()) as Record<string, string>,
      ms: performance.now() - begun,
    };
  }
  await post('/register', { username: 'ada', password: PASSWORD });
  const login = async () => (await post('/login', { username: 'ada', password: PASSWORD, transport: 'bearer' })).body;
  const [one, other] = [await login(), await login()];

  const ending = post('/logout', { scope: 'session' }, one.access_token);
  const refreshed = await post('/refresh', { refresh_token: other.refresh_token });
  t.equal(refreshed.status, 200);
  const ended = await ending;
  t.match(ended, { status: 503, body: { code: 'unavailable' } }, 'no replica has it');
  t.ok(
    ended.ms > 400 && refreshed.ms < ended.ms - 100,
    `a refresh took ${Math.round(refreshed.ms)} ms, beside a logout of ${Math.round(ended.ms)} ms`,
  );
  for (const body of [{}, { refresh_token: one.refresh_token }])
    t.equal((await post('/logout', body, one.access_token)).status, 503, 'nor when it is asked for again');
});
