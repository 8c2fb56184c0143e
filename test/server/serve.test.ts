import t from 'tap';
import { loadConfig } from '../../src/server/config/load.js';
import { serve } from '../../src/server/serve.js';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';

t.test('a revocation that waits for replicas does not delay other requests', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const env = { NODE_ENV: 'test', LOG_LEVEL: 'silent', PORT: '0', INTERNAL_PORT: '0', REVOCATION_REPLICAS: '1' };
  const running = await serve({ ...loadConfig(env), tokenKeys: [TOKEN_KEY] }, redis.location);
  t.teardown(() => running.stop());

  async function post(path: string, body: object, token?: string) {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const url = `http://127.0.0.1:${running.port}/auth${path}`;
    const reply = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: reply.status, body: (await reply.json()) as Record<string, string> };
  }
  await post('/register', { username: 'ada', password: PASSWORD });
  const login = async () => (await post('/login', { username: 'ada', password: PASSWORD, transport: 'bearer' })).body;
  const observer = redis.client();
  const isWaiting = async () => /^blocked_clients:1\r?$/m.test(await observer.info('clients'));

  /** Whether a refresh that begins while a logout waits for its replica is answered while the logout still waits. */
  async function overtakes(): Promise<boolean> {
    const [one, other] = [await login(), await login()];
    let pending = true;
    const ending = post('/logout', { scope: 'session' }, one.access_token).finally(() => (pending = false));
    while (pending && !(await isWaiting()));
    const refreshed = await post('/refresh', { refresh_token: other.refresh_token });
    const overtook = await isWaiting();
    t.equal(refreshed.status, 200);
    t.match(await ending, { status: 503, body: { code: 'unavailable' } }, 'no replica acknowledged the revocation');
    for (const body of [{}, { refresh_token: one.refresh_token }])
      t.equal((await post('/logout', body, one.access_token)).status, 503, 'a repeated logout waits for replicas too');
    return overtook;
  }
  // On a slow machine the deadline of the logout may pass first. On a shared connection the refresh never overtakes it.
  let overtook = false;
  for (let attempt = 0; attempt < 20 && !overtook; attempt++) overtook = await overtakes();
  t.ok(overtook, 'a refresh overtakes a logout that waits');
});
