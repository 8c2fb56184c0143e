import { randomInt } from 'node:crypto';
import t from 'tap';
import { startRedis } from '../support/redis.js';
import { storeOn, type TestStore } from './fixture.js';

/** `npm run test:long` runs ten times as many rounds. */
export const ROUNDS_FACTOR = process.env.LATCHKEY_LONG === '1' ? 10 : 1;

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
export const client = redis.client();
const connections = Array.from({ length: 4 }, () => redis.client());
await Promise.all(connections.map((connection) => connection.ping()));

/** Stores on the same sessions, as several processes have them: each has its own connection. */
export function createCompetitors(s: TestStore): TestStore[] {
  return connections.map((connection) => storeOn(connection, { prefix: s.prefix }));
}

/** Runs `play` once for each round, at most `concurrency` at a time. */
export async function playRounds(
  rounds: number,
  play: (round: number) => Promise<void>,
  concurrency = 16,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < rounds) await play(next++);
    }),
  );
}

/** Waits for 0 to 3 turns of the event loop, so that whichever of two racing operations comes first varies. */
export async function waitRandomTurns(): Promise<void> {
  for (let turns = randomInt(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
}

/** Steps of one operation that another one can wait for, so that a race does not depend on the speed of the machine. */
export class Progress {
  #steps = 0;
  #waiting: { step: number; resolve: () => void }[] = [];

  /** Reports that the next step was reached. */
  advance(): void {
    this.#release(++this.#steps);
  }

  /** Releases everyone who waits for a step that will not be reached. */
  finish(): void {
    this.#release((this.#steps = Infinity));
  }

  /** Waits until `step` steps were reached. */
  async reach(step: number): Promise<void> {
    if (this.#steps < step) await new Promise<void>((resolve) => this.#waiting.push({ step, resolve }));
  }

  #release(steps: number): void {
    for (const { step, resolve } of this.#waiting) if (step <= steps) resolve();
  }
}
