import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis, type RedisOptions } from 'ioredis';
import type { RedisLocation } from '../../../src/redis/connect.js';
import { findRedisServer } from '../../../src/redis/embedded/find-server.js';
import { RedisProcess } from '../../../src/redis/embedded/redis-process.js';
import { type MovableClock, movableClock } from '../clock.js';
import { freePort, HOST } from './waiting.js';

const CONFIG = fileURLToPath(new URL('../../../redis.conf', import.meta.url));

/** Settings with which a replica is in sync within a second instead of ten. */
export const REPLICATE_AT_ONCE = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];

export interface StartOptions {
  /** redis-server arguments; they override redis.conf. */
  args?: string[];
  /** Gives it a clock that only `moveClock` moves; needs a C compiler. */
  clock?: boolean;
  /** False replaces the repository's redis.conf by an empty file. */
  config?: boolean;
}

/** Without the option that changes the types of replies. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

/** Starts a real redis-server in its own directory. It ends with `stop` or with this process. */
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

  /** What `connect` takes to reach this server as the default user. */
  get location(): Extract<RedisLocation, { kind: 'standalone' }> {
    const { host, port } = this;
    return { kind: 'standalone', host, port, db: 0, tls: false, username: undefined, password: undefined };
  }

  async start(): Promise<void> {
    const server = await findRedisServer({ log: () => undefined });
    const env = { ...server.env, ...this.#clock?.env };
    const configFile = await this.#copyConfig();
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
        // Another process took the port before redis-server could bind it.
        if (attempt === 5 || !String(error).includes('Address already in use')) throw error;
        await sleep(50);
      }
    }
  }

  /** Creates a client of this server, closed by `stop`. */
  client(options: ClientOptions = {}): Redis {
    const client = new Redis({ host: HOST, port: this.port, ...options });
    // Tests stop servers on purpose; without a listener, ioredis prints each lost connection.
    client.on('error', () => undefined);
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.#end();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Kills the server, as a crash would. */
  async kill(): Promise<void> {
    this.#process?.signal('SIGKILL');
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Starts the server again on the same port and data, whether it runs or was killed. */
  async restart(): Promise<void> {
    await this.#end();
    await this.start();
  }

  /** Stops the server from answering until `resume`; connections stay open. */
  pause(): void {
    this.#process?.signal('SIGSTOP');
  }

  resume(): void {
    this.#process?.signal('SIGCONT');
  }

  /** Moves the clock forward by `ms`. The server must have been started with `clock`. */
  async moveClock(ms: number): Promise<void> {
    if (!this.#clock) throw new Error('Start this Redis with { clock: true }');
    await this.#clock.move(ms);
  }

  /** Copies redis.conf once, because Sentinel sends CONFIG REWRITE at a failover. The copy survives restarts. */
  async #copyConfig(): Promise<string> {
    const file = join(this.directory, 'redis.conf');
    const content = this.#options.config === false ? '' : await readFile(CONFIG);
    await writeFile(file, content, { flag: 'wx' }).catch(() => undefined);
    return file;
  }

  async #end(): Promise<void> {
    this.resume();
    await this.#process?.stop();
    this.#process = undefined;
  }
}

/** Starts several servers at once. If one fails, the others are stopped. */
export async function startAll(count: number, start: () => Promise<TestRedis>): Promise<TestRedis[]> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, start));
  const started = outcomes.filter((outcome) => outcome.status === 'fulfilled').map((outcome) => outcome.value);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (!failed) return started;
  await Promise.all(started.map((server) => server.stop()));
  throw failed.reason;
}
