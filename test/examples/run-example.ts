import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

export const PASSWORD = 'pelican umbrella staircase';
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Runs an example's script until the end of the test. Resolves to the URL that it prints. */
export async function runExample(t: Test, script: string): Promise<string> {
  const port = await findFreePort();
  const data = await mkdtemp(join(tmpdir(), 'latchkey-example-'));
  const example = spawn(process.execPath, [script], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PORT: String(port),
      DATA_DIRECTORY: data,
      ACCESS_TOKEN_LIFETIME: '2s',
      REFRESH_GRACE: '1s',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(example, 'exit');
  t.teardown(async () => {
    example.kill('SIGTERM');
    await exited;
    await rm(data, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });
  for await (const line of createInterface(example.stdout)) {
    const url = / at (http:\S+)$/.exec(line)?.[1];
    if (url === undefined) continue;
    example.stdout.resume();
    await waitUntilReachable(url);
    return url;
  }
  throw new Error(`${script} did not start`);
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function waitUntilReachable(url: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    if (
      await fetch(url, { redirect: 'manual' }).then(
        () => true,
        () => false,
      )
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Nothing answers at ${url}`);
}
