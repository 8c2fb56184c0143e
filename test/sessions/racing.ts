import { randomInt } from 'node:crypto';
import t from 'tap';
import { startRedis } from '../support/redis.js';
import { storeOn, type TestStore } from './fixture.js';

/** `npm run test:long` runs ten times as many rounds. */
export const LONG = process.env.LATCHKEY_LONG === '1' ? 10 : 1;

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
export const client = redis.client();
const connections = Array.from({ length: 4 }, () => redis.client());
await Promise.all(connections.map((connection) => connection.ping()));

/** The same sessions as several processes see them, each by a connection of its own. */
export function competitors(s: TestStore): TestStore[] {
  return connections.map((connection) => storeOn(connection, { prefix: s.prefix }));
}

/** Plays so many rounds, a few at a time. */
export async function inRounds(rounds: number, play: (round: number) => Promise<void>, atOnce = 16): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < rounds) await play(next++);
    }),
  );
}

/** Lets up to so many turns of the event loop go by: whoever races is then anywhere on its way. */
export async function anyMoment(most = 4): Promise<void> {
  for (let turns = randomInt(most); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
}

/** What is left but for reasons and user records. */
export async function livingKeys(s: TestStore): Promise<string[]> {
  return (await s.all()).filter((key) => !/:(ended|user):/.test(key));
}
