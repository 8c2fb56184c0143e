import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SHIM = fileURLToPath(new URL('clock/shim.c', import.meta.url));

export interface MovableClock {
  /** What a process needs in its environment to live by this clock. */
  env: Record<string, string>;
  /** Moves the clock on by `ms` from where it is, under the running process; back if negative. */
  move(ms: number): Promise<void>;
}

/** Makes a wall clock that starts out right, its files in `directory`. Needs a C compiler called `cc`. */
export async function movableClock(directory: string): Promise<MovableClock> {
  const library = join(directory, 'clock.so');
  const file = join(directory, 'clock-offset');
  await run('cc', ['-O2', '-shared', '-fPIC', '-o', library, SHIM]).catch((error: Error) => {
    throw new Error(`A Redis with a movable clock needs a C compiler (apt install gcc libc6-dev): ${error.message}`, {
      cause: error,
    });
  });
  await writeOffset(file, 0n);
  return {
    env: { LD_PRELOAD: library, CLOCK_OFFSET_FILE: file },
    async move(ms) {
      await writeOffset(file, (await readFile(file)).readBigInt64LE() + BigInt(ms));
    },
  };
}

async function writeOffset(file: string, ms: bigint): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(ms);
  // In place: a new or truncated file would pull the page from under the process that has it mapped.
  await writeFile(file, bytes, { flag: 'r+' }).catch(() => writeFile(file, bytes));
}
