import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../../dist/server/main.js', import.meta.url));

/** The built service, run on its own redis-server. */
export interface BuiltService {
  readonly url: string;
  close: () => Promise<void>;
}

/** @param environment overrides the variables that let it run beside others. */
export async function startBuiltService(environment: Record<string, string> = {}): Promise<BuiltService> {
  if (!existsSync(MAIN)) throw new Error('dist/server/main.js is missing: run npm run build');
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-built-'));
  const service = spawn(process.execPath, [MAIN], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: '0',
      INTERNAL_PORT: '0',
      LOG_LEVEL: 'warn',
      DATA_DIRECTORY: directory,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(service, 'exit');
  const url = await Promise.race([greeting(service), exited.then(() => undefined)]);
  if (url === undefined) throw new Error('The service did not start');
  return {
    url,
    async close() {
      service.kill('SIGTERM');
      await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function greeting(service: ChildProcess): Promise<string | undefined> {
  for await (const line of createInterface(service.stdout!)) {
    const url = /ready at (\S+)/.exec(line)?.[1];
    if (url !== undefined) {
      service.stdout!.resume();
      return url;
    }
  }
  return undefined;
}
