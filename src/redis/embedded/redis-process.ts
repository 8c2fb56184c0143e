import { type ChildProcess, spawn } from 'node:child_process';
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

// The shell execs redis-server, which inherits the lock on file descriptor 9, so the lock is held as long as the server
// may write. A subshell reads file descriptor 3, a pipe from this process. If the pipe closes, this process has
// died, and the subshell terminates redis-server. A line on the pipe means that redis-server exited first: the subshell
// must not signal then, because the process id may have been reused.
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

/** A redis-server child process, alone in its data directory. It exits with this process, even after a crash. */
export class RedisProcess {
  readonly exited: Promise<void>;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #hasExited = false;
  #output = '';

  /** @param args arguments of redis-server, which must make it keep its data in `directory` */
  constructor(server: RedisServerCommand, directory: string, args: readonly string[]) {
    this.#directory = directory;
    // Run it in its own process group, so that Ctrl-C reaches only this process, and with a minimal environment, so
    // that it inherits no secrets.
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
   * Waits until the server responds on `address`, however long it takes to load its data.
   *
   * @throws {EmbeddedRedisError | DataDirectoryInUseError} if it exits instead; see {@link exitError}.
   */
  async ready(address: NetConnectOpts): Promise<void> {
    while (!(await answers(address, this.#child.pid))) {
      if (this.#hasExited) throw this.exitError();
      await Promise.race([sleep(20), this.exited]);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Sends SIGTERM, and SIGKILL after `graceMs`; resolves when the process has exited. */
  async stop(graceMs = 10_000): Promise<void> {
    this.signal('SIGTERM');
    const killer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    await this.exited;
    clearTimeout(killer);
  }

  /** Returns an error that says why the process exited, with the last lines of its output. */
  exitError(): LatchkeyError {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === EXIT_IN_USE) return new DataDirectoryInUseError(this.#directory);
    if (exitCode === EXIT_NO_FLOCK)
      return new EmbeddedRedisError('flock is not installed: install util-linux, or set REDIS_URL');
    const how = signalCode ? `was terminated by ${signalCode}` : `exited with status ${String(exitCode)}`;
    return new EmbeddedRedisError(`redis-server ${how}: ${this.#output.trim().split('\n').slice(-5).join(' | ')}`);
  }
}

/** Whether the server that responds on the address is the process `pid`, not another one with the same address. */
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
