import { execFile } from 'node:child_process';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { findRedisServer, RedisNotInstalledError } from '../../../src/redis/embedded/find-server.js';

const log = () => undefined;
const run = promisify(execFile);

/** Stands in for apt-get, whose package lists are empty until `update` has run, unless the file `fetched` is there. */
const APT_GET = `#!/bin/sh
lists=$(dirname "$0")
for argument in "$@"; do
  case "$argument" in Dir::State::Lists=*) lists=\${argument#*=} ;; esac
done
case " $* " in
  *" update "*) touch "$lists/fetched"; exit 100 ;; # as hooks of the machine make it fail without root
  *) [ -e "$lists/fetched" ] || exit 100 ;;
esac
case " $* " in
  *" --simulate "*) printf 'Inst libfake1 (1.0 Debian)\\nInst redis-server (7.0 Debian)\\n' ;;
  *" download "*) touch redis-server.deb redis-tools.deb libfake1.deb ;;
esac
`;
const DPKG_DEB = `#!/bin/sh
mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"
case "$2" in */redis-server.deb) ;; *) exit 0 ;; esac
printf '#!/bin/sh\\necho Redis server v=7.0.15 sha=00000000\\n' > "$3/usr/bin/redis-server"
chmod 755 "$3/usr/bin/redis-server"
`;

/** Puts programs in front of PATH until the test ends. */
async function addToPath(t: Test, directory: string, programs: Record<string, string>): Promise<void> {
  for (const [name, script] of Object.entries(programs))
    await writeFile(join(directory, name), script, { mode: 0o755 });
  const { PATH } = process.env;
  process.env.PATH = `${directory}:/usr/bin:/bin`;
  t.teardown(() => (process.env.PATH = PATH));
}

// The packages of the distribution are downloaded in the long run only: that takes as long as the network wants.
const sources = process.env.LATCHKEY_LONG ? ['a stand-in for apt', 'apt'] : ['a stand-in for apt'];

t.test('uses the redis-server on PATH, unless that server is too old or broken', async (t) => {
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

for (const source of sources) {
  t.test(`unpacks the package of the distribution once with ${source}, even when two run at once`, async (t) => {
    const cacheDirectory = join(t.testdir({ programs: { fetched: '' } }), 'cache');
    if (source !== 'apt')
      await addToPath(t, join(cacheDirectory, '../programs'), { 'apt-get': APT_GET, 'dpkg-deb': DPKG_DEB });
    const find = () => findRedisServer({ cacheDirectory, path: '/nowhere', log });
    const [one, other] = await Promise.all([find(), find()]);
    t.equal(one.command, join(cacheDirectory, 'unpacked/usr/bin/redis-server'));
    t.same(one, other);
    t.match(one.env.LD_LIBRARY_PATH, /-linux-/);
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
  });

  t.test(`downloads package lists of its own with ${source} when the machine has none`, async (t) => {
    const directory = t.testdir({ programs: {}, lists: { partial: {} }, 'apt.conf': '' });
    if (source !== 'apt') await addToPath(t, join(directory, 'programs'), { 'apt-get': APT_GET, 'dpkg-deb': DPKG_DEB });
    await writeFile(join(directory, 'apt.conf'), `Dir::State::Lists "${join(directory, 'lists')}";\n`);
    process.env.APT_CONFIG = join(directory, 'apt.conf');
    t.teardown(() => delete process.env.APT_CONFIG);
    const { command, env } = await findRedisServer({ cacheDirectory: join(directory, 'cache'), path: '/nowhere', log });
    t.match((await run(command, ['--version'], { env })).stdout, /Redis server v=/);
    t.same(await readdir(join(directory, 'lists')), ['partial'], 'the lists of the machine are unchanged');
  });
}

t.test('hides the environment of the service from the programs that unpack redis-server', async (t) => {
  const directory = t.testdir({});
  await addToPath(t, directory, { 'apt-get': `#!/bin/sh\nenv > "${directory}/seen"\nexit 1\n` });
  Object.assign(process.env, { TOKEN_KEYS: 'secret', https_proxy: 'http://proxy:3128' });
  t.teardown(() => {
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
    message: /^redis-server 7 or later is not installed .*\(apt install redis-server\) or set REDIS_URL$/,
  });
});
