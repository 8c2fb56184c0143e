import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { findRedisServer } from '../../../src/redis/embedded/find-server.js';
import { RedisProcess } from '../../../src/redis/embedded/redis-process.js';

const server = await findRedisServer({ log: () => undefined });

t.test('reports a redis-server that cannot be started, even when another server answers on its port', async (t) => {
  const stranger = createServer((socket) => socket.end('+PONG\r\n')).listen(0, '127.0.0.1');
  t.teardown(() => stranger.close());
  await once(stranger, 'listening');
  const { port } = stranger.address() as AddressInfo;
  await t.rejects(new RedisProcess(server, '/nowhere/at/all', []).ready({ host: '127.0.0.1', port }), /ENOENT/);
  const withoutFlock = new RedisProcess({ ...server, env: { PATH: '/nowhere' } }, t.testdir(), []);
  await t.rejects(withoutFlock.ready({ path: '/nowhere' }), /install util-linux/);
});

t.test('kills a redis-server that does not exit when asked', async (t) => {
  // Not in the test directory, whose path may be too long for a socket.
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const redis = new RedisProcess(server, directory, ['--port', '0', '--unixsocket', './redis.sock']);
  await redis.ready({ path: join(directory, 'redis.sock') });
  redis.signal('SIGSTOP');
  await redis.stop(100);
  t.match(redis.exitError().message, /SIGKILL/);
});
