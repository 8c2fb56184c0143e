import t from 'tap';
import { startRedis } from '../support/redis.js';
import { type Scenario, simulate } from './simulation.js';
import type { Change } from './virtual-redis.js';

/** `npm run test:long` sends a hundred times as many messages, from a seed that it prints. */
const LONG = process.env.LATCHKEY_LONG === '1';
const SEED = LONG ? Date.now() % 1_000_000 : 1;
const MESSAGES = LONG ? 400_000 : 4_000;

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());

const run = (scenario: Partial<Scenario>) => simulate(redis, { seed: SEED, messages: MESSAGES, ...scenario });

t.test('nobody is signed out by refreshing, whatever the tabs, the losses and the delays', async (t) => {
  const { violations, ...seen } = await run({});
  t.same(violations, []);
  t.comment(JSON.stringify(seen));
  t.ok(seen.rotations > 300 && seen.repeated > 100, 'there was something to get wrong');
});

t.test('nobody is signed out by failovers that lose the last writes', async (t) => {
  const { violations, ...seen } = await run({ failovers: true });
  t.same(violations, []);
  t.comment(JSON.stringify(seen));
  t.ok(seen.rotations > 300 && seen.failovers > 200 && seen.redone > 5, 'there was something to get wrong');
});

t.test(
  'a stolen refresh token is found out as soon as either presents a token whose successor has been in use for longer than the grace period',
  async (t) => {
    // Each session that ends leaves its reason, and the test's clock walks over all keys: many short runs take less than a long one.
    for (let round = 0; round < (LONG ? 20 : 1); round++) {
      const { violations, ...seen } = await run({
        thief: true,
        seed: SEED + round,
        messages: Math.min(MESSAGES, 20_000),
      });
      t.same(violations, []);
      t.comment(JSON.stringify(seen));
      t.ok(seen.foundOut > 50, 'and then no key of the session is left');
    }
  },
);

t.test('with a rule weakened, the simulation fails', async (t) => {
  const parent = 'if nextRefresh == stored.refresh and open then';
  const later = 'if generation > current then';
  const confirmedGrace = 'return now - stored.confirmedAt < tonumber(grace)';
  const unconfirmed = 'return now - stored.rotatedAt < tonumber(retryWindow)';
  const ending = "endSessions(sessions, { sessionId }, 'reused')";
  const weakened: [string, Partial<Scenario>, Change][] = [
    ['the parent is never forgiven', {}, [parent, 'if false then']],
    ['there is no grace period', {}, [confirmedGrace, 'return false']],
    [
      'a pair is open for the grace period after it was made, used or not',
      {},
      [unconfirmed, 'return now - stored.rotatedAt < tonumber(grace)'],
    ],
    ['a lost rotation is not redone', { failovers: true }, [later, 'if false then']],
    ['the parent is forgiven for ever', { thief: true }, [parent, 'if nextRefresh == stored.refresh then']],
    [
      'the grace period is ten times as long',
      { thief: true },
      [confirmedGrace, 'return now - stored.confirmedAt < 10 * grace'],
    ],
    [
      'what is older is answered with the current pair',
      { thief: true },
      [
        ending,
        "if not open then return advance('rotated', current + 1, nextRefresh, nextAccess, false) end endSessions(sessions, { sessionId }, 'reused')",
      ],
    ],
    ['a key of the session is forgotten', { thief: true }, ["if access then names[2] = 'access:' .. access end", '']],
  ];
  for (const [name, scenario, change] of weakened) {
    const { violations } = await run({ ...scenario, changes: [change] });
    t.ok(violations.length > 0, `${name}: ${violations[0]}`);
  }
});
