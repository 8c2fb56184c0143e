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
/** A message arrives within this time, or never. */
const LONGEST_WAY = GRACE / 2 - 1;

export interface Scenario {
  seed: number;
  /** How many messages reach the server. */
  messages: number;
  failovers?: boolean;
  thief?: boolean;
  /** Rules that are weakened. */
  changes?: readonly Change[];
}

export interface Outcome {
  /** What broke a promise, in words. */
  violations: string[];
  rotations: number;
  repeated: number;
  redone: number;
  failovers: number;
  /** Sessions that ended because a token came back. */
  foundOut: number;
}

interface Holder {
  name: string;
  pair: TokenPair;
  accessExpiresAt: number;
}

/**
 * Browser tabs with one cookie jar, on a network that loses messages and delays them, so that answers overtake one
 * another; a Redis that fails over and loses its last writes; and a thief who once copied the refresh token.
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
  const upTo = (ms: number) => Math.floor(random() * ms);
  const result: Outcome = { violations: [], rotations: 0, repeated: 0, redone: 0, failovers: 0, foundOut: 0 };

  let arrived = 0;
  try {
    while (arrived < messages && result.violations.length === 0) await oneSession();
  } finally {
    client.disconnect();
  }
  return result;

  async function oneSession(): Promise<void> {
    const begun = client.now;
    const { pair, principal } = await s.login();
    const jar: Holder = { name: 'tab', pair, accessExpiresAt: principal.expiresAt };
    /** When each generation was made, and first used. */
    const made = new Map([[1, begun]]);
    const used = new Map([[1, begun]]);
    const events: { at: number; happen: () => Promise<void> | void }[] = [];
    let over = false;

    const after = (ms: number, happen: () => Promise<void> | void) => {
      const at = client.now + ms;
      let index = events.length;
      while (index > 0 && events[index - 1]!.at < at) index--;
      events.splice(index, 0, { at, happen });
    };
    const losing = thief ? 0.05 : 0.15;
    /** Over the network: in time, or never. */
    const send = (happen: () => Promise<void> | void, lost: () => void) => {
      if (chance(losing)) after(2 * GRACE, lost);
      else after(chance(0.5) ? upTo(200) : upTo(LONGEST_WAY), happen);
    };
    const pause = () => {
      const kind = random();
      if (kind < 0.35) return upTo(2 * SECOND);
      if (kind < 0.8) return upTo(2 * LIFETIMES.accessLifetimeMs);
      return kind < 0.98 ? upTo(HOUR) : upTo(20 * HOUR);
    };
    const reaches = async () => {
      arrived++;
      if (failovers) await client.remember();
    };

    const request = (holder: Holder) => {
      const { pair } = holder;
      if (holder.accessExpiresAt <= client.now || chance(0.1)) return refresh(holder);
      send(
        async () => {
          await reaches();
          const passed = (await s.store.authenticate(pair.access.token)) !== undefined;
          await s.store.close();
          if (passed) use(pair.refresh.generation);
          send(
            () => (passed ? rest(holder) : refresh(holder)),
            () => rest(holder),
          );
        },
        () => rest(holder),
      );
    };

    const refresh = (holder: Holder) => {
      const presented = holder.pair.refresh;
      send(
        async () => {
          await reaches();
          const known = Number(await client.hget(s.sessionKey(presented), 'generation'));
          const rotation = await s.rotate(presented);
          if (presented.generation > known && 'pair' in rotation) result.redone++;
          judge(holder, presented.generation, rotation);
          if (!('pair' in rotation)) return finish(rotation);
          const { pair, principal } = rotation;
          if (!made.has(pair.refresh.generation)) made.set(pair.refresh.generation, client.now);
          use(presented.generation);
          if (rotation.outcome === 'rotated') result.rotations++;
          else result.repeated++;
          send(
            () => {
              // Unchanged writes the access cookie only.
              holder.pair = {
                access: pair.access,
                refresh: rotation.outcome === 'unchanged' ? holder.pair.refresh : pair.refresh,
              };
              holder.accessExpiresAt = principal.expiresAt;
              if (chance(0.8)) request(holder);
              else rest(holder);
            },
            () => (chance(0.7) ? refresh(holder) : rest(holder)),
          );
        },
        () => (chance(0.7) ? refresh(holder) : rest(holder)),
      );
    };

    const use = (generation: number) => {
      if (!used.has(generation)) used.set(generation, client.now);
    };
    const rest = (holder: Holder) => after(pause(), () => request(holder));

    const judge = (holder: Holder, generation: number, { outcome }: Rotation) => {
      const successorUsed = used.get(generation + 1);
      const closedFor = successorUsed === undefined ? -1 : client.now - successorUsed - GRACE;
      const signedOut = outcome === 'ended' || outcome === 'reused';
      const told = `seed ${seed}, ${holder.name}, generation ${generation}: ${outcome}`;
      if (!thief && signedOut) result.violations.push(`${told}: an innocent user was signed out`);
      if (thief && !signedOut && closedFor >= 0) result.violations.push(`${told}: a token came back unnoticed`);
      const forgotten = client.now - (made.get(generation + 1) ?? client.now) >= LIFETIMES.refreshRetryWindowMs;
      if (thief && signedOut && closedFor < 0 && !forgotten)
        result.violations.push(`${told}: nobody did anything wrong`);
    };

    const finish = async ({ outcome }: Rotation) => {
      over = true;
      if (outcome !== 'reused') return;
      result.foundOut++;
      const left = (await s.all()).filter((key) => key.includes(':ended:') === false);
      if (left.length > 0) result.violations.push(`seed ${seed}: left behind ${left.join()}`);
    };

    const tabs = 1 + upTo(6);
    for (let i = 0; i < tabs; i++) after(upTo(LIFETIMES.accessLifetimeMs), () => request(jar));
    if (failovers) {
      const failOver = async () => {
        await client.loseWritesOf(upTo(LONGEST_WAY));
        result.failovers++;
        after(upTo(20 * MINUTE), failOver);
      };
      after(GRACE + upTo(20 * MINUTE), failOver);
    }
    if (thief) {
      after(upTo(HOUR), () => {
        const stolen: Holder = { ...jar, name: 'thief' };
        after(chance(0.5) ? upTo(GRACE) : pause(), () => refresh(stolen));
      });
    }

    // A thief is found out within days; innocents go on for weeks.
    const end = begun + (thief ? 3 : 20) * 24 * HOUR;
    while (!over && events.length > 0 && arrived < messages) {
      const { at, happen } = events.pop()!;
      if (at > end) break;
      await client.moveTo(Math.max(at, client.now));
      await happen();
    }
    await client.moveTo(client.now + LIFETIMES.sessionLifetimeMs);
  }
}

/** Mulberry32: small, and the same everywhere. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
