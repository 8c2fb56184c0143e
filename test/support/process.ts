import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** What lets Node run TypeScript, without what the tests add for themselves. */
const LOADER = process.execArgv.filter((argument) => /tapjs\/typescript|source-maps/.test(argument));

/** The service as a process of its own, on free ports. */
export interface ServiceProcess {
  url: string;
  /** Every byte that it wrote so far. */
  output: () => string;
  /** Bytes of memory that it has now. */
  memory: () => Promise<number>;
  stop: () => Promise<void>;
}

/** @param env its whole environment, beside PATH and the ports. */
export async function startProcess(env: NodeJS.ProcessEnv): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [...LOADER, MAIN], {
    env: { PATH: process.env.PATH, PORT: '0', INTERNAL_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
  const output = () => chunks.join('');
  while (!/ready at (\S+)/.test(output())) {
    if (child.exitCode !== null) throw new Error(output());
    await sleep(50);
  }
  return {
    url: /ready at (\S+)/.exec(output())![1]!,
    output,
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
    },
    async stop() {
      if (child.exitCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
