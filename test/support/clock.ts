import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SHIM = fileURLToPath(new URL('clock/shim.c', import.meta.url));

export interface MovableClock {
  /** The environment of a process that is to use this clock. */
  env: Record<string, string>;
  /** Moves the clock forward by `ms` under the running process; back if negative. */
  move(ms: number): Promise<void>;
}

/**
 * Creates a wall clock that shows the time of its creation until it is moved, so that a test on a slow machine sees the
 * same instants as on a fast one. Its files are in `directory`. Needs a C compiler called `cc`.
 */
export async function movableClock(directory: string): Promise<MovableClock> {
  const library = join(directory, 'clock.so');
  const file = join(directory, 'clock');
  await run('cc', ['-O2', '-shared', '-fPIC', '-o', library, SHIM]).catch((error: Error) => {
    throw new Error(`A Redis with a movable clock needs a C compiler (apt install gcc libc6-dev): ${error.message}`, {
      cause: error,
    });
  });
  await writeInstant(file, BigInt(Date.now()));
  return {
    env: { LD_PRELOAD: library, CLOCK_FILE: file },
    async move(ms) {
      await writeInstant(file, (await readFile(file)).readBigInt64LE() + BigInt(ms));
    },
  };
}

async function writeInstant(file: string, ms: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(ms);
  // Write in place: replacing or truncating the file would unmap the page from the running process.
  await writeFile(file, bytes, { flag: 'r+' }).catch(() => writeFile(file, bytes));
}
