import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const HOST = '127.0.0.1';

/**
 * Polls until `isMet` returns true.
 *
 * @param what The condition in words, for the error.
 * @throws when it is not met within `timeoutMs`, which is long enough for a busy machine.
 */
export async function until(
  what: string,
  isMet: () => boolean | Promise<boolean>,
  { timeoutMs = 60_000, everyMs = 20 } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isMet())) {
    if (performance.now() > deadline) throw new Error(`Waited for ${timeoutMs / 1000} s, but not: ${what}`);
    await sleep(everyMs);
  }
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, HOST, listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
