import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export const HOST = '127.0.0.1';

/**
 * Polls until `isMet` returns true.
 *
 * @param what The condition in words, for the error.
 * @throws when it is not met within `timeoutMs`, which by default is long enough for a busy machine.
 */
export async function until(
  what: string,
  isMet: () => boolean | Promise<boolean>,
  { timeoutMs = 60_000, everyMs = 20 } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isMet())) {
    if (performance.now() > deadline)
      throw new Error(`Waited for ${timeoutMs / 1000} s, but this did not happen: ${what}`);
    await sleep(everyMs);
  }
}

/** Finds a loopback port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, HOST, listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
