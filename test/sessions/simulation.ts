import type { Rotation } from '../../src/sessions/session.js';
import type { TokenPair } from '../../src/sessions/token.js';
import type { TestRedis } from '../support/redis.js';
import { storeOn } from './fixture.js';
import { type Change, VirtualRedis } from './virtual-redis.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const LIFETIMES = {
  accessLifetimeMs: 3 * MINUTE,
  refreshGraceMs: 30 * SECOND,
  refreshRetryWindowMs: 24 * HOUR,
  refreshLifetimeMs: 30 * 24 * HOUR,
  sessionLifetimeMs: 90 * 24 * HOUR,
};
const GRACE = LIFETIMES.refreshGraceMs;
/** A message arrives within this time or is lost. */
const MAX_DELAY = GRACE / 2 - 1;

export interface Scenario {
  seed: number;
  /** How many messages reach the server. */
  messages: number;
  failovers?: boolean;
  thief?: boolean;
  /** Changes to the scripts that weaken a rule. */
  changes?: readonly Change[];
}

export interface Outcome {
  /** Descriptions of broken promises. */
  violations: string[];
  rotations: number;
  /** Refreshes that were answered with a pair that was issued before. */
  repeated: number;
  /** Rotations that a failover lost and a refresh repeated. */
  redone: number;
  failovers: number;
  /** Sessions that ended because a spent token came back. */
  reuses: number;
}

interface Holder {
  name: string;
  pair: TokenPair;
  accessExpiresAt: number;
}

/**
 * Simulates browser tabs that share a cookie jar, on a network that loses and delays messages, so that responses
 * overtake one another. Redis may fail over and lose its last writes, and a thief may have copied the refresh token.
 * The same seed gives the same run.
 */
export async function simulate(
  redis: TestRedis,
  { seed, messages, failovers = false, thief = false, changes = [] }: Scenario,
): Promise<Outcome> {
  const client = await new VirtualRedis(redis, 'sim:', changes).ready();
  const s = storeOn(client, { prefix: 'sim:', ...LIFETIMES });
  const random = randomNumbers(seed);
  const chance = (probability: number) => random() < probability;
  const randomBelow = (ms: number) => Math.floor(random() * ms);
  const result: Outcome = { violations: [], rotations: 0, repeated: 0, redone: 0, failovers: 0, reuses: 0 };

  let arrived = 0;
  try {
    while (arrived < messages && result.violations.length === 0) await oneSession();
  } finally {
    client.disconnect();
  }
  return result;

  async function oneSession(): Promise<void> {
    const startedAt = client.now;
    const { pair, principal } = await s.login();
    const jar: Holder = { name: 'tab', pair, accessExpiresAt: principal.expiresAt };
    /** When each generation was created, and when it was first used. */
    const madeAt = new Map([[1, startedAt]]);
    const usedAt = new Map([[1, startedAt]]);
    const events: { at: number; act: () => Promise<void> | void }[] = [];
    let isOver = false;

    const after = (ms: number, act: () => Promise<void> | void) => {
      const at = client.now + ms;
      let index = events.length;
      while (index > 0 && events[index - 1]!.at < at) index--;
      events.splice(index, 0, { at, act });
    };
    const lossRate = thief ? 0.05 : 0.15;
    /** Sends a message that arrives within MAX_DELAY, or is lost, which its sender notices later. */
    const send = (act: () => Promise<void> | void, lost: () => void) => {
      if (chance(lossRate)) after(2 * GRACE, lost);
      else after(chance(0.5) ? randomBelow(200) : randomBelow(MAX_DELAY), act);
    };
    const pause = () => {
      const kind = random();
      if (kind < 0.35) return randomBelow(2 * SECOND);
      if (kind < 0.8) return randomBelow(2 * LIFETIMES.accessLifetimeMs);
      return kind < 0.98 ? randomBelow(HOUR) : randomBelow(20 * HOUR);
    };
    const reachServer = async () => {
      arrived++;
      if (failovers) await client.takeSnapshot();
    };

    const request = (holder: Holder) => {
      const { pair } = holder;
      if (holder.accessExpiresAt <= client.now || chance(0.1)) return refresh(holder);
      send(
        async () => {
          await reachServer();
          const passed = (await s.store.authenticate(pair.access.token)) !== undefined;
          await s.store.close();
          if (passed) recordUse(pair.refresh.generation);
          send(
            () => (passed ? pauseThenRequest(holder) : refresh(holder)),
            () => pauseThenRequest(holder),
          );
        },
        () => pauseThenRequest(holder),
      );
    };

    const refresh = (holder: Holder) => {
      const presented = holder.pair.refresh;
      send(
        async () => {
          await reachServer();
          const known = Number(await client.hget(s.sessionKey(presented), 'generation'));
          const rotation = await s.rotate(presented);
          if (presented.generation > known && 'pair' in rotation) result.redone++;
          judge(holder, presented.generation, rotation);
          if (!('pair' in rotation)) return endSession(rotation);
          const { pair, principal } = rotation;
          if (!madeAt.has(pair.refresh.generation)) madeAt.set(pair.refresh.generation, client.now);
          recordUse(presented.generation);
          if (rotation.outcome === 'rotated') result.rotations++;
          else result.repeated++;
          send(
            () => {
              // The service writes only the access cookie when the pair is unchanged.
              holder.pair = {
                access: pair.access,
                refresh: rotation.outcome === 'unchanged' ? holder.pair.refresh : pair.refresh,
              };
              holder.accessExpiresAt = principal.expiresAt;
              if (chance(0.8)) request(holder);
              else pauseThenRequest(holder);
            },
            () => (chance(0.7) ? refresh(holder) : pauseThenRequest(holder)),
          );
        },
        () => (chance(0.7) ? refresh(holder) : pauseThenRequest(holder)),
      );
    };

    const recordUse = (generation: number) => {
      if (!usedAt.has(generation)) usedAt.set(generation, client.now);
    };
    const pauseThenRequest = (holder: Holder) => after(pause(), () => request(holder));

    const judge = (holder: Holder, generation: number, { outcome }: Rotation) => {
      const successorUsedAt = usedAt.get(generation + 1);
      const closedFor = successorUsedAt === undefined ? -1 : client.now - successorUsedAt - GRACE;
      const signedOut = outcome === 'ended' || outcome === 'reused';
      const what = `seed ${seed}, ${holder.name}, generation ${generation}: ${outcome}`;
      if (!thief && signedOut) result.violations.push(`${what}: an innocent user was signed out`);
      if (thief && !signedOut && closedFor >= 0) result.violations.push(`${what}: a spent token was accepted`);
      const isRetryWindowOver =
        client.now - (madeAt.get(generation + 1) ?? client.now) >= LIFETIMES.refreshRetryWindowMs;
      if (thief && signedOut && closedFor < 0 && !isRetryWindowOver)
        result.violations.push(`${what}: an honest refresh ended the session`);
    };

    const endSession = async ({ outcome }: Rotation) => {
      isOver = true;
      if (outcome !== 'reused') return;
      result.reuses++;
      const left = await s.liveKeys();
      if (left.length > 0) result.violations.push(`seed ${seed}: left behind ${left.join()}`);
    };

    const tabs = 1 + randomBelow(6);
    for (let i = 0; i < tabs; i++) after(randomBelow(LIFETIMES.accessLifetimeMs), () => request(jar));
    if (failovers) {
      const failOver = async () => {
        await client.loseWrites(randomBelow(MAX_DELAY));
        result.failovers++;
        after(randomBelow(20 * MINUTE), failOver);
      };
      after(GRACE + randomBelow(20 * MINUTE), failOver);
    }
    if (thief) {
      after(randomBelow(HOUR), () => {
        const stolen: Holder = { ...jar, name: 'thief' };
        after(chance(0.5) ? randomBelow(GRACE) : pause(), () => refresh(stolen));
      });
    }

    // A theft is detected within days; without one, a session is watched for weeks.
    const end = startedAt + (thief ? 3 : 20) * 24 * HOUR;
    while (!isOver && events.length > 0 && arrived < messages) {
      const { at, act } = events.pop()!;
      if (at > end) break;
      await client.moveTo(Math.max(at, client.now));
      await act();
    }
    await client.moveTo(client.now + LIFETIMES.sessionLifetimeMs);
  }
}

/** Mulberry32, a small random number generator that gives the same numbers on every machine. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
