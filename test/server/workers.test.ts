import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { TOKEN_KEY } from '../support/credentials.js';
import { isRunning } from '../support/processes.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { type ServiceProcess, spawnService } from '../support/service-process.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const env = { WORKERS: '2', REDIS_URL: redis.url, TOKEN_KEYS: TOKEN_KEY };

/** The ids of the processes that logged that they listen, in order. */
function workersOf({ output }: ServiceProcess): number[] {
  return [...new Set([...output().matchAll(/"pid":(\d+)[^\n]*Server listening/g)].map((match) => Number(match[1])))];
}

t.test('several workers share one port, a dead worker is replaced, and all end together', async (t) => {
  const WEBHOOKS = `http://127.0.0.1:9/ whsec_${Buffer.alloc(24, 1).toString('base64')}`;
  const service = spawnService({ ...env, WEBHOOKS });
  t.teardown(() => service.process.kill('SIGKILL'));
  const { url } = await service.ready();
  await until('both workers listen', async () => workersOf(service).length === 2);
  const [first, second] = workersOf(service);
  t.not(first, service.process.pid, 'the supervisor serves no requests itself');

  process.kill(first!, 'SIGKILL');
  await until('another takes its place', async () => workersOf(service).length === 3);
  t.notOk(isRunning(first!));
  t.ok(isRunning(second!));
  for (let i = 0; i < 4; i++)
    t.equal((await fetch(`${url}/auth/session`, { headers: { connection: 'close' } })).status, 401);

  const guess = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"username":"ada","password":"wrong"}',
  };
  t.equal((await fetch(`${url}/auth/login`, guess)).status, 401);
  await until('the event waits for its endpoint', async () => (await redis.client().exists('lk:webhooks')) === 1);

  t.equal(await service.end('SIGTERM'), 0);
  for (const pid of workersOf(service)) t.notOk(isRunning(pid));
});

t.test('workers share one private Redis, and a worker that does not end in time is killed', async (t) => {
  const service = spawnService({ WORKERS: '2', DATA_DIRECTORY: join(t.testdir(), 'data') });
  t.teardown(() => service.process.kill('SIGKILL'));
  const { internalUrl } = await service.ready();
  t.equal((await fetch(`${internalUrl}/readyz`)).status, 200);
  const [stuck] = workersOf(service);
  process.kill(stuck!, 'SIGSTOP');
  t.equal(await service.end('SIGTERM'), 0);
  t.notOk(isRunning(stuck!));
});

t.test('the service exits with an explanation if its workers cannot start', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const service = spawnService({ ...env, PORT: String(port) });
  t.equal(await service.exited, 1);
  t.match(service.output(), `Port ${port} is already in use`);
  t.match(service.output(), 'A worker failed to start');
});
