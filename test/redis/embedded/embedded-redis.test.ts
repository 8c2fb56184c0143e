import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import t from 'tap';
import { startEmbeddedRedis } from '../../../src/redis/embedded/embedded-redis.js';
import { DataDirectoryInUseError, EmbeddedRedisError } from '../../../src/redis/embedded/redis-process.js';
import { isRunning, readRedisProcessId } from '../../support/processes.js';
import { until } from '../../support/redis/waiting.js';

const configFile = fileURLToPath(new URL('../../../redis.conf', import.meta.url));
const log = () => undefined;
const start = (dataDirectory: string) => startEmbeddedRedis({ dataDirectory, configFile, log });
const run = promisify(execFile);

function connectTo(path: string): Redis {
  const client = new Redis({ path, retryStrategy: null });
  client.on('error', () => undefined);
  return client;
}

t.test('keeps its data across a stop and a start, on a socket that only the owner can use', async (t) => {
  const directory = join(t.testdir(), 'data');
  const first = await start(directory);
  const writer = connectTo(first.socketPath);
  await writer.set('kept', 'yes');
  t.same(await writer.config('GET', 'port'), ['port', '0'], 'no port is open');
  t.same(await writer.config('GET', 'appendfsync'), ['appendfsync', 'always'], 'redis.conf is in force');
  t.equal((await stat(directory)).mode & 0o777, 0o700);
  t.equal((await stat(first.socketPath)).mode & 0o777, 0o700);
  const before = await readFile(configFile, 'utf8');
  await writer.config('REWRITE');
  t.equal(await readFile(configFile, 'utf8'), before, 'the server has a copy of redis.conf');
  writer.disconnect();
  await first.stop();
  t.equal(await first.exited, undefined, 'a stop is not a failure');

  const second = await start(directory);
  const reader = connectTo(second.socketPath);
  t.equal(await reader.get('kept'), 'yes');
  reader.disconnect();
  await second.stop();
});

t.test('refuses a data directory that another redis-server uses, without disturbing that server', async (t) => {
  const directory = t.testdir();
  const redis = await start(directory);
  await t.rejects(start(directory), DataDirectoryInUseError);
  const client = connectTo(redis.socketPath);
  t.equal(await client.set('still', 'writable'), 'OK');
  client.disconnect();
  await redis.stop();
});

t.test('refuses a directory with files of another program, and leaves it unchanged', async (t) => {
  const directory = t.testdir({ 'redis.conf': 'of another program\n' });
  await chmod(directory, 0o755);
  await t.rejects(start(directory), {
    code: 'foreign_directory',
    message: /set DATA_DIRECTORY to a new or empty directory$/,
  });
  t.same(await readdir(directory), ['redis.conf']);
  t.equal((await stat(directory)).mode & 0o777, 0o755);
  const redis = await start(t.testdir({ 'lost+found': {} }));
  await redis.stop();
});

t.test('reports a crash, and releases the data directory', async (t) => {
  const directory = t.testdir();
  const redis = await start(directory);
  const client = connectTo(redis.socketPath);
  process.kill(await readRedisProcessId(client), 'SIGKILL');
  const error = await redis.exited;
  t.type(error, EmbeddedRedisError);
  t.match(error?.message, /SIGKILL/);
  client.disconnect();
  await (await start(directory)).stop();
});

t.test('reports a refused configuration with the message of redis-server', async (t) => {
  const directory = t.testdir();
  const bad = join(directory, 'bad.conf');
  await writeFile(bad, 'appendfsync sometimes\n');
  await t.rejects(startEmbeddedRedis({ dataDirectory: join(directory, 'data'), configFile: bad, log }), {
    code: 'embedded_redis',
    message: /appendfsync/,
  });
});

t.test('puts the socket elsewhere if the path of the data directory is too long, and removes it on stop', async (t) => {
  const directory = join(t.testdir(), 'd'.repeat(120));
  const redis = await start(directory);
  t.ok(Buffer.byteLength(redis.socketPath) < 104);
  const client = connectTo(redis.socketPath);
  t.equal(await client.ping(), 'PONG');
  client.disconnect();
  await redis.stop();
  await t.rejects(stat(join(redis.socketPath, '..')), { code: 'ENOENT' });
});

t.test('hides the environment of the service, which may contain secrets, from redis-server', async (t) => {
  process.env.TOKEN_KEYS_OF_THE_SERVICE = 'secret';
  const redis = await start(t.testdir());
  const client = connectTo(redis.socketPath);
  const { stdout } = await run('cat', [`/proc/${await readRedisProcessId(client)}/environ`]);
  t.notMatch(stdout, 'TOKEN_KEYS_OF_THE_SERVICE');
  client.disconnect();
  await redis.stop();
});

t.test('ends redis-server, with its data safe, when the service is killed', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const service = spawn(
    process.execPath,
    [...process.execArgv, fileURLToPath(new URL('redis-owner.ts', import.meta.url)), directory],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [socketPath] = (await once(service.stdout.setEncoding('utf8'), 'data')) as [string];
  const client = connectTo(socketPath);
  const pid = await readRedisProcessId(client);
  await client.set('kept', 'yes');
  service.kill('SIGKILL');
  await until('redis-server is gone', async () => !isRunning(pid));
  client.disconnect();

  const redis = await start(directory);
  const reader = connectTo(redis.socketPath);
  t.equal(await reader.get('kept'), 'yes');
  reader.disconnect();
  await redis.stop();
});
