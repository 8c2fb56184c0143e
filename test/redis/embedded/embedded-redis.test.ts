import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import t from 'tap';
import {
  DataDirectoryInUseError,
  EmbeddedRedisError,
  RedisProcess,
  startEmbeddedRedis,
} from '../../../src/redis/embedded/embedded-redis.js';
import { findRedisServer, RedisNotInstalledError } from '../../../src/redis/embedded/find-server.js';

const configFile = fileURLToPath(new URL('../../../redis.conf', import.meta.url));
const log = () => undefined;
const start = (dataDirectory: string) => startEmbeddedRedis({ dataDirectory, configFile, log });
const run = promisify(execFile);

function clientOf(path: string): Redis {
  const client = new Redis({ path, retryStrategy: null });
  client.on('error', () => undefined);
  return client;
}

async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 250; i++) {
    try {
      process.kill(pid, 0);
    } catch {
      return true;
    }
    await sleep(20);
  }
  return false;
}

async function processId(client: Redis): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]);
}

t.test('what was written is there after a stop and a new start, on a socket that is the owner’s alone', async (t) => {
  const directory = join(t.testdir(), 'data');
  const first = await start(directory);
  const writer = clientOf(first.socketPath);
  await writer.set('kept', 'yes');
  t.same(await writer.config('GET', 'port'), ['port', '0'], 'no port is open');
  t.same(await writer.config('GET', 'appendfsync'), ['appendfsync', 'always'], 'redis.conf is in force');
  t.equal((await stat(directory)).mode & 0o777, 0o700);
  t.equal((await stat(first.socketPath)).mode & 0o777, 0o700);
  const before = await readFile(configFile, 'utf8');
  await writer.config('REWRITE');
  t.equal(await readFile(configFile, 'utf8'), before, 'its redis.conf is a copy');
  writer.disconnect();
  await first.stop();
  t.equal(await first.exited, undefined, 'a stop is no failure');

  const second = await start(directory);
  const reader = clientOf(second.socketPath);
  t.equal(await reader.get('kept'), 'yes');
  reader.disconnect();
  await second.stop();
});

t.test('a second one in the same directory is told so, and harms nothing', async (t) => {
  const directory = t.testdir();
  const redis = await start(directory);
  await t.rejects(start(directory), DataDirectoryInUseError);
  const client = clientOf(redis.socketPath);
  t.equal(await client.set('still', 'writable'), 'OK');
  client.disconnect();
  await redis.stop();
});

t.test('a directory of something else is left alone', async (t) => {
  const directory = t.testdir({ 'redis.conf': 'of somebody else\n' });
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

t.test('a crash is reported, and the data is free again', async (t) => {
  const directory = t.testdir();
  const redis = await start(directory);
  const client = clientOf(redis.socketPath);
  process.kill(await processId(client), 'SIGKILL');
  const error = await redis.exited;
  t.type(error, EmbeddedRedisError);
  t.match(error?.message, /SIGKILL/);
  client.disconnect();
  await (await start(directory)).stop();
});

t.test('a configuration that redis-server refuses is told in its own words', async (t) => {
  const directory = t.testdir();
  const bad = join(directory, 'bad.conf');
  await writeFile(bad, 'appendfsync sometimes\n');
  await t.rejects(startEmbeddedRedis({ dataDirectory: join(directory, 'data'), configFile: bad, log }), {
    code: 'embedded_redis',
    message: /appendfsync/,
  });
});

t.test('a redis-server that cannot even be started is told, whoever else answers in its place', async (t) => {
  const server = await findRedisServer({ log });
  const stranger = createServer((socket) => socket.end('+PONG\r\n')).listen(0, '127.0.0.1');
  t.teardown(() => stranger.close());
  await once(stranger, 'listening');
  const { port } = stranger.address() as AddressInfo;
  await t.rejects(new RedisProcess(server, '/nowhere/at/all', []).ready({ host: '127.0.0.1', port }), /ENOENT/);
  const withoutFlock = new RedisProcess({ ...server, env: { PATH: '/nowhere' } }, t.testdir(), []);
  await t.rejects(withoutFlock.ready({ path: '/nowhere' }), /install util-linux/);
});

t.test('a redis-server that does not end when asked is killed', async (t) => {
  // Short enough for a socket path, wherever the tests are.
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const redis = new RedisProcess(await findRedisServer({ log }), directory, [
    '--port',
    '0',
    '--unixsocket',
    './redis.sock',
  ]);
  await redis.ready({ path: join(directory, 'redis.sock') });
  redis.signal('SIGSTOP');
  await redis.end(100);
  t.match(redis.failure().message, /SIGKILL/);
});

t.test('a data directory too deep for a socket gets one elsewhere, which goes with it', async (t) => {
  const directory = join(t.testdir(), 'd'.repeat(120));
  const redis = await start(directory);
  t.ok(Buffer.byteLength(redis.socketPath) < 104);
  const client = clientOf(redis.socketPath);
  t.equal(await client.ping(), 'PONG');
  client.disconnect();
  await redis.stop();
  await t.rejects(stat(join(redis.socketPath, '..')), { code: 'ENOENT' });
});

t.test('redis-server does not see the service’s environment, where secrets may be', async (t) => {
  process.env.TOKEN_KEYS_OF_THE_SERVICE = 'secret';
  const redis = await start(t.testdir());
  const client = clientOf(redis.socketPath);
  const { stdout } = await run('cat', [`/proc/${await processId(client)}/environ`]);
  t.notMatch(stdout, 'TOKEN_KEYS_OF_THE_SERVICE');
  client.disconnect();
  await redis.stop();
});

t.test('it ends, with its data safe, when the service is killed', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const service = spawn(
    process.execPath,
    [...process.execArgv, fileURLToPath(new URL('owner.ts', import.meta.url)), directory],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const [socketPath] = (await once(service.stdout.setEncoding('utf8'), 'data')) as [string];
  const client = clientOf(socketPath);
  const pid = await processId(client);
  await client.set('kept', 'yes');
  service.kill('SIGKILL');
  t.ok(await gone(pid));
  client.disconnect();

  const redis = await start(directory);
  const reader = clientOf(redis.socketPath);
  t.equal(await reader.get('kept'), 'yes');
  reader.disconnect();
  await redis.stop();
});

t.test('a redis-server on the path is taken, unless it is too old or broken', async (t) => {
  const directory = t.testdir({ good: {}, old: {}, broken: {}, occupied: '' });
  const find = (name: string) =>
    findRedisServer({ path: join(directory, name), cacheDirectory: join(directory, 'occupied'), log });
  const install = (name: string, script: string) =>
    writeFile(join(directory, name, 'redis-server'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await install('good', 'echo Redis server v=7.0.15 sha=00000000');
  await install('old', 'echo Redis server v=6.0.16 sha=00000000');
  await install('broken', 'exit 127');
  t.same(await find('good'), { command: join(directory, 'good/redis-server'), env: {} });
  await t.rejects(find('old'), RedisNotInstalledError);
  await t.rejects(find('broken'), RedisNotInstalledError);
});

t.test('without one on the path', async (t) => {
  const aptWorks = await run('apt-get', ['--version']).then(
    () => true,
    () => false,
  );

  t.test('the distribution’s is unpacked once, by two at once', { skip: !aptWorks && 'not a Debian' }, async (t) => {
    const cacheDirectory = join(t.testdir(), 'cache');
    const find = () => findRedisServer({ cacheDirectory, path: '/nowhere', log });
    const [one, other] = await Promise.all([find(), find()]);
    t.equal(one.command, join(cacheDirectory, 'unpacked/usr/bin/redis-server'));
    t.same(one, other);
    t.same(await readdir(cacheDirectory), ['unpacked'], 'nothing else is left');
    t.match((await run(one.command, ['--version'], { env: one.env })).stdout, /Redis server v=/);

    const { ino } = await stat(one.command);
    t.same(await find(), one);
    t.equal((await stat(one.command)).ino, ino, 'what is there already is taken');

    await writeFile(one.command, 'no program any more');
    t.same(await find(), one);
    t.match(
      (await run(one.command, ['--version'], { env: one.env })).stdout,
      /Redis server v=/,
      'a broken copy is replaced',
    );
  });

  t.test('nor any package list, it fetches lists of its own', { skip: !aptWorks && 'not a Debian' }, async (t) => {
    const directory = t.testdir({ lists: { partial: {} }, 'apt.conf': '' });
    await writeFile(join(directory, 'apt.conf'), `Dir::State::Lists "${join(directory, 'lists')}";\n`);
    process.env.APT_CONFIG = join(directory, 'apt.conf');
    t.teardown(() => delete process.env.APT_CONFIG);
    const { command, env } = await findRedisServer({ cacheDirectory: join(directory, 'cache'), path: '/nowhere', log });
    t.match((await run(command, ['--version'], { env })).stdout, /Redis server v=/);
    t.same(await readdir(join(directory, 'lists')), ['partial'], 'the machine’s are left alone');
  });

  t.test('whatever unpacks it does not see the service’s environment', async (t) => {
    const directory = t.testdir({});
    await writeFile(join(directory, 'apt-get'), `#!/bin/sh\nenv > "${directory}/seen"\nexit 1\n`, { mode: 0o755 });
    const { PATH } = process.env;
    Object.assign(process.env, {
      PATH: `${directory}:/usr/bin:/bin`,
      TOKEN_KEYS: 'secret',
      https_proxy: 'http://proxy:3128',
    });
    t.teardown(() => {
      process.env.PATH = PATH;
      delete process.env.TOKEN_KEYS;
      delete process.env.https_proxy;
    });
    await t.rejects(
      findRedisServer({ cacheDirectory: join(directory, 'cache'), path: '/nowhere', log }),
      RedisNotInstalledError,
    );
    const seen = await readFile(join(directory, 'seen'), 'utf8');
    t.notMatch(seen, 'secret');
    t.match(seen, 'https_proxy=http://proxy:3128');
  });

  t.test('and with no way to unpack it, the error says what to install', async (t) => {
    const { HOME } = process.env;
    process.env.HOME = join(t.testdir({ occupied: '' }), 'occupied');
    t.teardown(() => (process.env.HOME = HOME));
    const impossible = findRedisServer({ path: '/nowhere', log });
    await t.rejects(impossible, RedisNotInstalledError);
    await t.rejects(impossible, {
      message: /^Redis is not installed .*\(apt install redis-server\) or set REDIS_URL$/,
    });
  });
});
