import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../../errors.js';
import type { RedisServerCommand } from './find-server.js';

/** redis-server did not start, or exited by itself. */
export class EmbeddedRedisError extends LatchkeyError {
  constructor(message: string) {
    super('embedded_redis', message);
  }
}

/** Another redis-server uses the data directory. */
export class DataDirectoryInUseError extends LatchkeyError {
  constructor(directory: string) {
    super('data_directory_in_use', `${directory} is in use by another latchkey: stop it, or choose another directory`);
  }
}

const EXIT_IN_USE = 75;
const EXIT_NO_FLOCK = 69;

// The shell becomes redis-server, which inherits the lock on file 9: the lock is held exactly as long as somebody may
// write the data. A subshell waits on file 3, a pipe from this process. When the pipe closes, this process has died,
// and the subshell ends redis-server. A line on the pipe means that redis-server exited first: then the subshell
// must not signal, as the process id may belong to another process by now.
const START_SCRIPT = `
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

const MAX_OUTPUT = 2_000;

/** A redis-server child process, alone in its data directory. It ends when this process ends, however it ends. */
export class RedisProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #hasExited = false;
  #output = '';

  /** @param args The arguments of redis-server; they must make it keep its data in `directory`. */
  constructor(server: RedisServerCommand, directory: string, args: readonly string[]) {
    this.#directory = directory;
    // Its own process group, so that Ctrl-C only reaches this process; its own environment, so that it sees no secrets.
    this.#child = spawn('/bin/sh', ['-c', START_SCRIPT, 'sh', join(directory, 'lock'), server.command, ...args], {
      cwd: directory,
      detached: true,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...server.env },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    for (const stream of [stdout, stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-MAX_OUTPUT);
      });
    }
    const pipe = this.#child.stdio[3] as Socket;
    pipe.on('error', () => undefined);
    this.#child.once('exit', () => {
      pipe.write('\n');
      pipe.destroySoon();
    });
    this.exited = once(this.#child, 'close').then(
      () => void (this.#hasExited = true),
      (error: unknown) => {
        this.#hasExited = true;
        this.#output = String(error);
      },
    );
  }

  /**
   * Waits until the server answers on `address`, however long it takes to load its data.
   *
   * @throws {EmbeddedRedisError | DataDirectoryInUseError} when it exits instead; see {@link failure}.
   */
  async ready(address: NetConnectOpts): Promise<void> {
    while (!(await answers(address, this.#child.pid))) {
      if (this.#hasExited) throw this.failure();
      await Promise.race([sleep(20), this.exited]);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Sends SIGTERM, and SIGKILL after `graceMs`; resolves when the process is gone. */
  async end(graceMs = 10_000): Promise<void> {
    this.signal('SIGTERM');
    const killer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    await this.exited;
    clearTimeout(killer);
  }

  /** The error that says why the process exited, with the last lines of its output. */
  failure(): LatchkeyError {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === EXIT_IN_USE) return new DataDirectoryInUseError(this.#directory);
    if (exitCode === EXIT_NO_FLOCK)
      return new EmbeddedRedisError('flock is not installed: install util-linux, or set REDIS_URL');
    const how = signalCode ? `was ended by ${signalCode}` : `exited with status ${String(exitCode)}`;
    return new EmbeddedRedisError(`redis-server ${how}: ${this.#output.trim().split('\n').slice(-5).join(' | ')}`);
  }
}

/** Whether the process `pid` answers on the address, and not another one that holds the port or socket. */
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
    // Nothing listens yet.
  }
  return false;
}
