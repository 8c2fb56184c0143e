import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, HOST } from '../support/redis/waiting.js';
import type { Copy } from './weakened.js';

/** A copy of the service in its own process, on free ports. */
export interface RunningCopy {
  url: string;
  internalUrl: string;
  /** Reads the resident memory of the process, in bytes. */
  memory: () => Promise<number>;
  hasEnded: () => boolean;
  /** Returns everything written to stderr so far. */
  errorOutput: () => string;
  stop: () => Promise<void>;
}

export async function startCopy({ directory }: Copy, env: Record<string, string>): Promise<RunningCopy> {
  const internalPort = await freePort();
  const child = spawn(process.execPath, [join(directory, 'src/server/main.js')], {
    env: { PATH: process.env.PATH, PORT: '0', INTERNAL_PORT: String(internalPort), LOG_LEVEL: 'fatal', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk));
  const keepEnd = (chunk: string) => (output = (output + chunk).slice(-100_000));
  child.stdout.setEncoding('utf8').on('data', keepEnd);
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const readyAt = /ready at http:\/\/localhost:(\d+)/;
  while (!readyAt.test(output)) {
    if (hasEnded()) throw new Error(output + errors);
    await sleep(25);
  }
  return {
    url: `http://${HOST}:${readyAt.exec(output)![1]}`,
    internalUrl: `http://${HOST}:${internalPort}`,
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
    },
    hasEnded,
    errorOutput: () => errors,
    async stop() {
      if (hasEnded()) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
