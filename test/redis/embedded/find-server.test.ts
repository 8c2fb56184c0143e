import { execFile } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { findRedisServer, RedisNotInstalledError } from '../../../src/redis/embedded/find-server.js';

const log = () => undefined;
const run = promisify(execFile);
const aptWorks = await run('apt-get', ['--version']).then(
  () => true,
  () => false,
);

t.test('takes redis-server from PATH, unless it is too old or broken', async (t) => {
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

t.test(
  'unpacks the distribution’s package once, even when two run at once',
  { skip: !aptWorks && 'apt-get is not installed' },
  async (t) => {
    const cacheDirectory = join(t.testdir(), 'cache');
    const find = () => findRedisServer({ cacheDirectory, path: '/nowhere', log });
    const [one, other] = await Promise.all([find(), find()]);
    t.equal(one.command, join(cacheDirectory, 'unpacked/usr/bin/redis-server'));
    t.same(one, other);
    t.same(await readdir(cacheDirectory), ['unpacked'], 'nothing else is left behind');
    t.match((await run(one.command, ['--version'], { env: one.env })).stdout, /Redis server v=/);

    const { ino } = await stat(one.command);
    t.same(await find(), one);
    t.equal((await stat(one.command)).ino, ino, 'the unpacked copy is used again');

    await writeFile(one.command, 'no program any more');
    t.same(await find(), one);
    t.match(
      (await run(one.command, ['--version'], { env: one.env })).stdout,
      /Redis server v=/,
      'a broken copy is replaced',
    );
  },
);

t.test(
  'downloads package lists of its own when the machine has none',
  { skip: !aptWorks && 'apt-get is not installed' },
  async (t) => {
    const directory = t.testdir({ lists: { partial: {} }, 'apt.conf': '' });
    await writeFile(join(directory, 'apt.conf'), `Dir::State::Lists "${join(directory, 'lists')}";\n`);
    process.env.APT_CONFIG = join(directory, 'apt.conf');
    t.teardown(() => delete process.env.APT_CONFIG);
    const { command, env } = await findRedisServer({ cacheDirectory: join(directory, 'cache'), path: '/nowhere', log });
    t.match((await run(command, ['--version'], { env })).stdout, /Redis server v=/);
    t.same(await readdir(join(directory, 'lists')), ['partial'], 'the lists of the machine are unchanged');
  },
);

t.test('hides the environment of the service from the programs that unpack redis-server', async (t) => {
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

t.test('says what to install when redis-server can be neither found nor unpacked', async (t) => {
  const { HOME } = process.env;
  process.env.HOME = join(t.testdir({ occupied: '' }), 'occupied');
  t.teardown(() => (process.env.HOME = HOME));
  const impossible = findRedisServer({ path: '/nowhere', log });
  await t.rejects(impossible, RedisNotInstalledError);
  await t.rejects(impossible, {
    message: /^Redis is not installed .*\(apt install redis-server\) or set REDIS_URL$/,
  });
});
