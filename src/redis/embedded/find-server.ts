import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { LatchkeyError } from '../../errors.js';

export interface RedisServer {
  command: string;
  /** What the command needs in its environment: where its unpacked libraries are. */
  env: Record<string, string>;
}

export class RedisNotInstalledError extends LatchkeyError {
  constructor(cause: unknown) {
    super(
      'redis_not_installed',
      'Redis is not installed and could not be unpacked: install redis-server 7 or later (apt install redis-server) or set REDIS_URL',
      { cause },
    );
  }
}

const run = promisify(execFile);
const OLDEST_MAJOR = 7;

/**
 * Finds a redis-server, version 7 or later: on PATH, else the copy unpacked earlier into the cache folder,
 * else the distribution's package, unpacked there with the libraries that it needs, without root.
 *
 * @param options.cacheDirectory Holds the unpacked copy; `~/.cache/latchkey/redis` by default.
 * @param options.path The folders to look in, in place of this process's PATH.
 * @throws {RedisNotInstalledError} when there is none and none can be unpacked; its cause says why.
 */
export async function findRedisServer(options: {
  cacheDirectory?: string | undefined;
  path?: string | undefined;
  log: (message: string) => void;
}): Promise<RedisServer> {
  const installed = { command: await commandOn(options.path), env: {} };
  if (await works(installed)) return installed;

  const cache = options.cacheDirectory ?? join(homedir(), '.cache/latchkey/redis');
  const root = join(cache, 'unpacked');
  const earlier = await serverIn(root);
  if (await works(earlier)) return earlier;

  options.log(`Redis is not installed: unpacking the distribution's package into ${cache}`);
  let failure: unknown;
  try {
    await mkdir(cache, { recursive: true, mode: 0o700 });
    await unpack(cache, root);
  } catch (error) {
    failure = error;
  }
  const unpacked = await serverIn(root);
  // Whatever failed, another process may have succeeded meanwhile.
  if (await works(unpacked)) return unpacked;
  throw new RedisNotInstalledError(failure);
}

/** Of this process's environment, what finding and unpacking needs; secrets may be in the rest. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|LANG|LC_.*|APT_CONFIG|.*_proxy)$/i.test(name)),
  );
}

async function commandOn(path: string | undefined): Promise<string> {
  const env = path === undefined ? environment() : { PATH: path };
  const found = await run('/bin/sh', ['-c', 'command -v redis-server'], { env }).catch(() => ({ stdout: '' }));
  return found.stdout.trim();
}

async function works(server: RedisServer): Promise<boolean> {
  try {
    await access(server.command, constants.X_OK);
    const { stdout } = await run(server.command, ['--version'], { env: server.env });
    return Number(/\bv=(\d+)/.exec(stdout)?.[1]) >= OLDEST_MAJOR;
  } catch {
    return false;
  }
}

async function serverIn(root: string): Promise<RedisServer> {
  const libraries: string[] = [];
  for (const parent of [join(root, 'usr/lib'), join(root, 'lib')]) {
    const names = await readdir(parent).catch(() => []);
    libraries.push(...names.filter((name) => name.includes('-linux-')).map((name) => join(parent, name)), parent);
  }
  return { command: join(root, 'usr/bin/redis-server'), env: { LD_LIBRARY_PATH: libraries.join(delimiter) } };
}

/** Two may do this at once: each works in its own folder, and the first to rename wins; the other's rename fails. */
async function unpack(cache: string, root: string): Promise<void> {
  const work = await mkdtemp(join(cache, 'unpacking-'));
  try {
    const packages = await download(work);
    const fresh = join(work, 'root');
    for (const file of packages) await run('dpkg-deb', ['-x', file, fresh], { env: environment() });
    if (!(await works(await serverIn(root)))) await rename(root, join(work, 'broken')).catch(() => undefined);
    await rename(fresh, root);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Downloads by the machine's package lists; when they are empty or out of date, by fresh ones of our own. */
async function download(work: string): Promise<string[]> {
  try {
    return await downloadWith([], join(work, 'debs'));
  } catch {
    const lists = join(work, 'lists');
    const cache = join(work, 'cache');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(cache, 'archives/partial'), { recursive: true });
    const own = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${cache}`];
    // A machine's update hooks may fail without root; whether the lists came is for the download to tell.
    await aptGet([...own, 'update'], work).catch(() => undefined);
    return downloadWith(own, join(work, 'debs-by-own-lists'));
  }
}

async function downloadWith(lists: string[], directory: string): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const plan = await aptGet([...lists, '--simulate', '--no-install-recommends', 'install', 'redis-server'], directory);
  const missing = Array.from(plan.matchAll(/^Inst (\S+) \(/gm), (match) => match[1] as string);
  const wanted = new Set(['redis-server', 'redis-tools', ...missing.filter((name) => /^(lib|lua)/.test(name))]);
  await aptGet([...lists, 'download', ...wanted], directory);
  return (await readdir(directory)).map((name) => join(directory, name));
}

async function aptGet(args: string[], cwd: string): Promise<string> {
  // As root, apt would fetch as the user _apt, who may not write here.
  const ours = ['-q', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::http::Timeout=10', '-o', 'Acquire::Retries=1'];
  const { stdout } = await run('apt-get', [...ours, ...args], { cwd, timeout: 120_000, env: environment() });
  return stdout;
}
