import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Interleaved rounds: every contender has its turn in each round, and each round begins with another one, so that
 * whatever else the machine does affects all of them alike.
 *
 * @param turns by name, a function that returns the figures of one turn; called once before the first round to warm up.
 */
export async function interleaved(turns, { rounds, warmUp = true, log }) {
  const names = Object.keys(turns);
  if (warmUp) for (const name of names) await turns[name]('warm-up');
  const results = [];
  for (let round = 0; round < rounds; round++) {
    const figures = {};
    for (let i = 0; i < names.length; i++) {
      const name = names[(round + i) % names.length];
      await sleep(100);
      figures[name] = await turns[name](round);
    }
    results.push(Object.fromEntries(names.map((name) => [name, figures[name]])));
    log(`  round ${round + 1} of ${rounds}`);
  }
  return results;
}
