import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { LatchkeyError } from '../../errors.js';

const MIN_MAJOR_VERSION = 7;

/** How to run a redis-server. */
export interface RedisServerCommand {
  command: string;
  /** The environment that the command needs: LD_LIBRARY_PATH of an unpacked copy. */
  env: Record<string, string>;
}

/** No usable redis-server is installed, and none could be downloaded; the cause says why. */
export class RedisNotInstalledError extends LatchkeyError {
  constructor(cause: unknown) {
    super(
      'redis_not_installed',
      `redis-server ${MIN_MAJOR_VERSION} or later is not installed and could not be downloaded: ` +
        'install it (apt install redis-server) or set REDIS_URL',
      { cause },
    );
  }
}

const run = promisify(execFile);

/**
 * Finds a redis-server, version 7 or later: on PATH, or else a copy from an earlier download in the cache directory.
 * Without either, downloads the distribution's package and the libraries it needs, and unpacks them into that
 * directory, without root.
 *
 * @param options.cacheDirectory where the unpacked copy is kept; `~/.cache/latchkey/redis` by default
 * @param options.path the directories to search instead of this process's PATH
 * @throws {RedisNotInstalledError} if none is found and none can be downloaded; its cause says why.
 */
export async function findRedisServer(options: {
  cacheDirectory?: string | undefined;
  path?: string | undefined;
  log: (message: string) => void;
}): Promise<RedisServerCommand> {
  const installed = { command: await findCommand(options.path), env: {} };
  if (await isUsable(installed)) return installed;

  const cache = options.cacheDirectory ?? join(homedir(), '.cache/latchkey/redis');
  const root = join(cache, 'unpacked');
  const cached = await unpackedServer(root);
  if (await isUsable(cached)) return cached;

  options.log(
    `Redis ${MIN_MAJOR_VERSION} or later is not installed: downloading the distribution's package to ${cache}`,
  );
  let failure: unknown;
  try {
    await mkdir(cache, { recursive: true, mode: 0o700 });
    await downloadAndUnpack(cache, root);
  } catch (error) {
    failure = error;
  }
  const unpacked = await unpackedServer(root);
  // Look even after a failure: another process may have unpacked it in the meantime.
  if (await isUsable(unpacked)) return unpacked;
  throw new RedisNotInstalledError(failure);
}

/** The part of this process's environment that finding and downloading needs. The rest may contain secrets. */
function safeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|LANG|LC_.*|APT_CONFIG|.*_proxy)$/i.test(name)),
  );
}

async function findCommand(path: string | undefined): Promise<string> {
  const env = path === undefined ? safeEnvironment() : { PATH: path };
  const found = await run('/bin/sh', ['-c', 'command -v redis-server'], { env }).catch(() => ({ stdout: '' }));
  return found.stdout.trim();
}

async function isUsable(server: RedisServerCommand): Promise<boolean> {
  try {
    await access(server.command, constants.X_OK);
    const { stdout } = await run(server.command, ['--version'], { env: server.env });
    return Number(/\bv=(\d+)/.exec(stdout)?.[1]) >= MIN_MAJOR_VERSION;
  } catch {
    return false;
  }
}

async function unpackedServer(root: string): Promise<RedisServerCommand> {
  const libraries: string[] = [];
  for (const parent of [join(root, 'usr/lib'), join(root, 'lib')]) {
    const names = await readdir(parent).catch(() => []);
    libraries.push(...names.filter((name) => name.includes('-linux-')).map((name) => join(parent, name)), parent);
  }
  return { command: join(root, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: libraries.join(delimiter) } };
}

/**
 * Safe to run concurrently: each run works in its own directory, and if another run has already put its copy at `root`,
 * the last rename fails.
 */
async function downloadAndUnpack(cache: string, root: string): Promise<void> {
  const work = await mkdtemp(join(cache, 'unpacking-'));
  try {
    const packages = await download(work);
    const fresh = join(work, 'root');
    for (const file of packages) await run('dpkg-deb', ['-x', file, fresh], { env: safeEnvironment() });
    if (!(await isUsable(await unpackedServer(root)))) await rename(root, join(work, 'broken')).catch(() => undefined);
    await rename(fresh, root);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Downloads the packages using the system's package lists or, if these are empty or out of date, fresh lists. */
async function download(work: string): Promise<string[]> {
  try {
    return await downloadWith([], join(work, 'debs'));
  } catch {
    const lists = join(work, 'lists');
    const cache = join(work, 'cache');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(cache, 'archives/partial'), { recursive: true });
    const listOptions = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${cache}`];
    // The system's update hooks may fail without root. If the lists are missing, the download fails below.
    await aptGet([...listOptions, 'update'], work).catch(() => undefined);
    return downloadWith(listOptions, join(work, 'debs-fresh-lists'));
  }
}

async function downloadWith(listOptions: string[], directory: string): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const plan = await aptGet(
    [...listOptions, '--simulate', '--no-install-recommends', 'install', 'redis-server'],
    directory,
  );
  const missing = Array.from(plan.matchAll(/^Inst (\S+) \(/gm), (match) => match[1] as string);
  const wanted = new Set(['redis-server', 'redis-tools', ...missing.filter((name) => /^(lib|lua)/.test(name))]);
  await aptGet([...listOptions, 'download', ...wanted], directory);
  return (await readdir(directory)).map((name) => join(directory, name));
}

async function aptGet(args: string[], cwd: string): Promise<string> {
  // When run as root, apt downloads as the user _apt, who may not write here.
  const commonOptions = [
    '-q',
    '-o',
    'APT::Sandbox::User=root',
    '-o',
    'Acquire::http::Timeout=10',
    '-o',
    'Acquire::Retries=1',
  ];
  const { stdout } = await run('apt-get', [...commonOptions, ...args], {
    cwd,
    timeout: 120_000,
    env: safeEnvironment(),
  });
  return stdout;
}
