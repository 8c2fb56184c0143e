import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { LatchkeyError } from '../../errors.js';
import { findRedisServer } from './find-server.js';
import { type EmbeddedRedisError, RedisProcess } from './redis-process.js';

/** The data directory is not empty and was not created by latchkey. */
export class ForeignDirectoryError extends LatchkeyError {
  constructor(directory: string) {
    super(
      'foreign_directory',
      `${directory} is not empty and was not created by latchkey: set DATA_DIRECTORY to a new or empty directory`,
    );
  }
}

export interface EmbeddedRedis {
  socketPath: string;
  /** Resolves when redis-server has exited: with undefined after `stop`, otherwise with the reason. Never rejects. */
  exited: Promise<EmbeddedRedisError | undefined>;
  /** Stops redis-server once its append-only file is on disk, or kills it after 10 seconds. */
  stop: () => Promise<void>;
}

/**
 * Runs a private redis-server on a unix socket, with its data in `dataDirectory`. It exits with this process, even
 * if this process crashes.
 *
 * @param options.configFile a redis.conf; only its listening addresses and its data directory are overridden.
 * @param options.cacheDirectory where redis-server is downloaded to and unpacked if it is not installed
 * @throws {DataDirectoryInUseError} if another redis-server uses the directory.
 * @throws {ForeignDirectoryError} if the directory is not empty and was not created by latchkey.
 * @throws {EmbeddedRedisError} if redis-server does not start, with the last lines of its output.
 * @throws {RedisNotInstalledError} see {@link findRedisServer}.
 */
export async function startEmbeddedRedis(options: {
  dataDirectory: string;
  configFile: string;
  cacheDirectory?: string | undefined;
  log: (message: string) => void;
}): Promise<EmbeddedRedis> {
  const server = await findRedisServer(options);
  const directory = resolve(options.dataDirectory);
  await prepareDirectory(directory);
  const { socketPath, release } = await chooseSocketPath(directory);

  // A copy, because CONFIG REWRITE writes to the file that the server was started with.
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
    return stopping ? undefined : redis.exitError();
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
      await redis.stop();
      await exited;
    },
  };
}

/** A directory with one of these files was created by latchkey. */
const MARKER_FILES = ['lock', 'token-key'];

async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = (await readdir(directory)).filter((name) => name !== 'lost+found');
  if (names.length > 0 && !MARKER_FILES.some((name) => names.includes(name)))
    throw new ForeignDirectoryError(directory);
  await chmod(directory, 0o700);
}

/** The limit of the operating system for the path of a unix socket. */
const MAX_SOCKET_PATH_BYTES = 103;

async function chooseSocketPath(directory: string): Promise<{ socketPath: string; release: () => Promise<void> }> {
  const preferred = join(directory, 'redis.sock');
  if (Buffer.byteLength(preferred) <= MAX_SOCKET_PATH_BYTES)
    return { socketPath: preferred, release: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-'));
  return { socketPath: join(folder, 'redis.sock'), release: () => rm(folder, { recursive: true, force: true }) };
}
