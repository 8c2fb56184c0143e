import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../../errors.js';
import { findRedisServer, type RedisServer } from './find-server.js';

/** The private redis-server did not start, or ended on its own. */
export class EmbeddedRedisError extends LatchkeyError {
  constructor(message: string) {
    super('embedded_redis', message);
  }
}

/** Another redis-server is at work in the data directory. */
export class DataDirectoryInUseError extends LatchkeyError {
  constructor(directory: string) {
    super('data_directory_in_use', `${directory} is in use by another latchkey: stop it, or choose another directory`);
  }
}

/** The data directory holds files that are nobody's to overwrite here. */
export class ForeignDirectoryError extends LatchkeyError {
  constructor(directory: string) {
    super(
      'foreign_directory',
      `${directory} holds files of something else: set DATA_DIRECTORY to a new or empty directory`,
    );
  }
}

/** What a data directory holds from its first use on. */
const OURS = ['lock', 'token-key'];

export interface EmbeddedRedis {
  socketPath: string;
  /** Resolves when redis-server is gone: with undefined after `stop`, else with what happened. Never rejects. */
  exited: Promise<EmbeddedRedisError | undefined>;
  /** Lets redis-server write its append-only file to disk and end; killed if that takes more than 10 seconds. */
  stop: () => Promise<void>;
}

/**
 * Runs a private redis-server on a unix socket, with its data in `dataDirectory`; it ends with this process, however that ends.
 *
 * @param options.configFile A redis.conf; only where the server listens and keeps its data is overridden.
 * @param options.cacheDirectory Where redis-server is unpacked when it is not installed.
 * @throws {DataDirectoryInUseError} when another one uses the directory.
 * @throws {ForeignDirectoryError} when it is another program's.
 * @throws {EmbeddedRedisError} when it does not start, with what it said last.
 * @throws {RedisNotInstalledError} see `findRedisServer`.
 */
export async function startEmbeddedRedis(options: {
  dataDirectory: string;
  configFile: string;
  cacheDirectory?: string | undefined;
  log: (message: string) => void;
}): Promise<EmbeddedRedis> {
  const server = await findRedisServer(options);
  const directory = resolve(options.dataDirectory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = (await readdir(directory)).filter((name) => name !== 'lost+found');
  if (names.length > 0 && !OURS.some((name) => names.includes(name))) throw new ForeignDirectoryError(directory);
  await chmod(directory, 0o700);
  const { socketPath, release } = await socketFor(directory);

  // A copy, because CONFIG REWRITE writes to the file that it was started with.
  const configFile = join(directory, 'redis.conf');
  await writeFile(configFile, await readFile(options.configFile));

  const redis = new RedisProcess(server, directory, [
    configFile,
    ...['--port', '0', '--unixsocket', socketPath, '--unixsocketperm', '700'],
    ...['--dir', directory, '--daemonize', 'no'],
  ]);
  let stopping = false;
  const exited = redis.exited.then(async () => {
    await release();
    return stopping ? undefined : redis.failure();
  });

  try {
    await redis.ready({ path: socketPath });
  } catch (error) {
    await exited;
    throw error;
  }
  return {
    socketPath,
    exited,
    async stop() {
      stopping = true;
      await redis.end();
      await exited;
    },
  };
}

const LONGEST_SOCKET_PATH = 103;

async function socketFor(directory: string): Promise<{ socketPath: string; release: () => Promise<void> }> {
  const near = join(directory, 'redis.sock');
  if (Buffer.byteLength(near) <= LONGEST_SOCKET_PATH) return { socketPath: near, release: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-'));
  return { socketPath: join(folder, 'redis.sock'), release: () => rm(folder, { recursive: true, force: true }) };
}

const EXIT_IN_USE = 75;
const EXIT_NO_FLOCK = 69;

// The shell becomes redis-server, which inherits the lock: it is held exactly as long as somebody may write the data.
// Beside it waits a subshell that sees the tether (file 3) close when this process dies, and then ends redis-server;
// a line on it means that redis-server went first, and its process number may be another's by now.
const TETHERED = `
command -v flock >/dev/null || exit ${EXIT_NO_FLOCK}
exec 9>>"$1" || exit
shift
tries=0
until flock -n 9; do
  tries=$((tries + 1))
  [ "$tries" -lt 15 ] || exit ${EXIT_IN_USE}
  sleep 0.2
done
{ read -r line || { kill -TERM $$; kill -CONT $$; }; } <&3 3<&- 9>&- >/dev/null 2>&1 &
exec "$@" 3<&-
`;

/** One redis-server as a child process that cannot outlive this one, alone in its data directory. */
export class RedisProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #ended = false;
  #said = '';

  /** @param args redis-server's own arguments; they must make it keep its data in `directory`. */
  constructor(server: RedisServer, directory: string, args: readonly string[]) {
    this.#directory = directory;
    // Its own process group, so that Ctrl-C reaches the service alone; its own environment, so that no secret is in it.
    this.#child = spawn('/bin/sh', ['-c', TETHERED, 'sh', join(directory, 'lock'), server.command, ...args], {
      cwd: directory,
      detached: true,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...server.env },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    for (const stream of [stdout, stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#said = (this.#said + text).slice(-2_000)));
    }
    const tether = this.#child.stdio[3] as Socket;
    tether.on('error', () => undefined);
    this.#child.once('exit', () => {
      tether.write('\n');
      tether.destroySoon();
    });
    this.exited = once(this.#child, 'close').then(
      () => void (this.#ended = true),
      (error: unknown) => {
        this.#ended = true;
        this.#said = String(error);
      },
    );
  }

  /** Waits until the server answers on `address`, however long it loads its data. */
  async ready(address: NetConnectOpts): Promise<void> {
    while (!(await answers(address, this.#child.pid))) {
      if (this.#ended) throw this.failure();
      await Promise.race([sleep(20), this.exited]);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async end(patienceMs = 10_000): Promise<void> {
    this.signal('SIGTERM');
    const killer = setTimeout(() => this.signal('SIGKILL'), patienceMs);
    await this.exited;
    clearTimeout(killer);
  }

  /** Why it ended, in words. */
  failure(): LatchkeyError {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === EXIT_IN_USE) return new DataDirectoryInUseError(this.#directory);
    if (exitCode === EXIT_NO_FLOCK)
      return new EmbeddedRedisError('flock is not installed: install util-linux, or set REDIS_URL');
    const how = signalCode ? `was ended by ${signalCode}` : `ended with status ${String(exitCode)}`;
    return new EmbeddedRedisError(`redis-server ${how}: ${this.#said.trim().split('\n').slice(-5).join(' | ')}`);
  }
}

/** Whether this very process answers there, and not another that holds the port or the socket. */
async function answers(address: NetConnectOpts, pid: number | undefined): Promise<boolean> {
  const socket = connect(address);
  socket.setTimeout(1_000, () => socket.destroy());
  socket.write('PING\r\nINFO server\r\n');
  let reply = '';
  try {
    for await (const data of socket) {
      reply += String(data);
      const found = /^process_id:(\d+)\r$/m.exec(reply);
      if (found) return reply.startsWith('+PONG') && Number(found[1]) === pid;
    }
  } catch {
    // Nobody listens yet.
  }
  return false;
}
