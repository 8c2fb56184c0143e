import t from 'tap';
import { startRedis } from '../support/redis.js';
import { type Scenario, simulate } from './simulation.js';
import type { Change } from './virtual-redis.js';

/** `npm run test:long` sends a hundred times as many messages, from a random seed; a violation names the seed. */
const LONG = process.env.LATCHKEY_LONG === '1';
const SEED = LONG ? Date.now() % 1_000_000 : 1;
const MESSAGES = LONG ? 400_000 : 4_000;

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());

const run = (scenario: Partial<Scenario>) => simulate(redis, { seed: SEED, messages: MESSAGES, ...scenario });

t.test('concurrent tabs, lost messages and delays sign nobody out', async (t) => {
  const { violations, ...seen } = await run({});
  t.same(violations, []);
  t.comment(JSON.stringify(seen));
  t.ok(seen.rotations > 300 && seen.repeated > 100, 'the run contained enough of what could go wrong');
});

t.test('failovers that lose the last writes sign nobody out', async (t) => {
  const { violations, ...seen } = await run({ failovers: true });
  t.same(violations, []);
  t.comment(JSON.stringify(seen));
  t.ok(
    seen.rotations > 300 && seen.failovers > 200 && seen.redone > 5,
    'the run contained enough of what could go wrong',
  );
});

t.test(
  'the theft of a refresh token is detected when a token comes back after its successor was used for the grace period',
  async (t) => {
    const { violations, ...seen } = await run({ thief: true });
    t.same(violations, []);
    t.comment(JSON.stringify(seen));
    t.ok(seen.reuses > 50, 'enough thefts were detected');
  },
);

t.test('the simulation finds every rule of the scripts that is weakened', async (t) => {
  const parent = 'if nextRefresh == stored.refresh and open then';
  const later = 'if generation > current then';
  const confirmedGrace = 'return now - stored.confirmedAt < tonumber(grace)';
  const unconfirmed = 'return now - stored.rotatedAt < tonumber(retryWindow)';
  const ending = "endSessions(sessions, { sessionId }, 'reused')";
  const weakened: [string, Partial<Scenario>, Change][] = [
    ['the parent is never accepted', {}, [parent, 'if false then']],
    ['there is no grace period', {}, [confirmedGrace, 'return false']],
    [
      'an unconfirmed pair is open for the grace period only',
      {},
      [unconfirmed, 'return now - stored.rotatedAt < tonumber(grace)'],
    ],
    ['a rotation that a failover lost is not repeated', { failovers: true }, [later, 'if false then']],
    ['the parent is accepted for ever', { thief: true }, [parent, 'if nextRefresh == stored.refresh then']],
    [
      'the grace period is ten times as long',
      { thief: true },
      [confirmedGrace, 'return now - stored.confirmedAt < 10 * grace'],
    ],
    [
      'a token older than the parent rotates',
      { thief: true },
      [
        ending,
        "if not open then return advance('rotated', current + 1, nextRefresh, nextAccess, false) end endSessions(sessions, { sessionId }, 'reused')",
      ],
    ],
    ['the access key is left behind', { thief: true }, ["if access then members[2] = 'access:' .. access end", '']],
  ];
  for (const [name, scenario, change] of weakened) {
    const { violations } = await run({ ...scenario, changes: [change] });
    t.ok(violations.length > 0, `${name}: ${violations[0]}`);
  }
});
