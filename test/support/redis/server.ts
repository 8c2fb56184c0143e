import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis, type RedisOptions } from 'ioredis';
import { RedisProcess } from '../../../src/redis/embedded/redis-process.js';
import { findRedisServer } from '../../../src/redis/embedded/find-server.js';
import { movableClock, type MovableClock } from '../clock.js';
import { freePort, HOST } from './waiting.js';

const CONFIG = fileURLToPath(new URL('../../../redis.conf', import.meta.url));

/** What a replicated server needs to be in step within a second instead of ten. */
export const REPLICATE_AT_ONCE = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];

export interface StartOptions {
  /** redis-server arguments; they override redis.conf. */
  args?: string[];
  /** Gives it a clock that only `moveClock` moves; needs a C compiler. */
  clock?: boolean;
  /** False gives it an empty file in place of the repository's redis.conf. */
  config?: boolean;
}

/** ioredis has types of its own for the kind of replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

/** Starts a real redis-server in a directory of its own; it is gone with `stop`, or with this process. */
export async function startRedis(options: StartOptions = {}): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  try {
    const redis = new TestRedis(directory, options, options.clock ? await movableClock(directory) : undefined);
    await redis.start();
    return redis;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

export class TestRedis {
  readonly host = HOST;
  readonly directory: string;
  port = 0;
  readonly #options: StartOptions;
  readonly #clock: MovableClock | undefined;
  readonly #clients: Redis[] = [];
  #process: RedisProcess | undefined;

  constructor(directory: string, options: StartOptions, clock: MovableClock | undefined) {
    this.directory = directory;
    this.#options = options;
    this.#clock = clock;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  async start(): Promise<void> {
    const server = await findRedisServer({ log: () => undefined });
    const env = { ...server.env, ...this.#clock?.env };
    const configFile = await this.#configFile();
    for (let attempt = 1; ; attempt++) {
      const port = this.port || (await freePort());
      const own = [configFile, '--port', String(port), '--bind', HOST, '--dir', this.directory];
      const redis = new RedisProcess({ ...server, env }, this.directory, [...own, ...(this.#options.args ?? [])]);
      try {
        await redis.ready({ host: HOST, port });
        this.#process = redis;
        this.port = port;
        return;
      } catch (error) {
        // Somebody took the port between our looking and redis-server's binding.
        if (attempt === 5 || !String(error).includes('Address already in use')) throw error;
        await sleep(50);
      }
    }
  }

  /** A client of this server, closed by `stop`. */
  client(options: ClientOptions = {}): Redis {
    const client = new Redis({ host: HOST, port: this.port, ...options });
    // Tests take servers away on purpose; ioredis would print each lost connection.
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.#end();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Ends the server as a crash would. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL');
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Starts the server again on its port and its data, after `kill` or from running. */
  async restart(): Promise<void> {
    await this.#end();
    await this.start();
  }

  /** Stops answering, with every connection open, until `resume`. */
  pause(): void {
    this.#process?.signal('SIGSTOP');
  }

  resume(): void {
    this.#process?.signal('SIGCONT');
  }

  /** Moves the clock of a server that was started with `clock` forward by `ms`. */
  async moveClock(ms: number): Promise<void> {
    if (!this.#clock) throw new Error('Start this Redis with { clock: true }');
    await this.#clock.move(ms);
  }

  /** A copy, because a failover makes Sentinel send CONFIG REWRITE; it stays, as it would, through a restart. */
  async #configFile(): Promise<string> {
    const file = join(this.directory, 'redis.conf');
    const content = this.#options.config === false ? '' : await readFile(CONFIG);
    await writeFile(file, content, { flag: 'wx' }).catch(() => undefined);
    return file;
  }

  async #end(): Promise<void> {
    this.resume();
    await this.#process?.end();
    this.#process = undefined;
  }
}

/** Starts several at once; if one fails, none is left running. */
export async function startAll(count: number, start: () => Promise<TestRedis>): Promise<TestRedis[]> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, start));
  const started = outcomes.filter((outcome) => outcome.status === 'fulfilled').map((outcome) => outcome.value);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return started;
  await Promise.all(started.map((server) => server.stop()));
  throw failed.reason;
}
