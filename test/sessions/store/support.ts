import type { Test } from 'tap';
import type { RedisClient } from '../../../src/redis/script.js';
import type { TokenPair } from '../../../src/sessions/token.js';
import { findKeysWithoutExpiry } from '../../support/audit.js';
import { LIFETIMES, newSubject, storeOn, type StoreSettings, USERNAME } from '../fixture.js';

export const WEEK = 7 * 86_400_000;
export const GRACE = LIFETIMES.refreshGraceMs;
export const ACCESS = LIFETIMES.accessLifetimeMs;
export const REFRESH = LIFETIMES.refreshLifetimeMs;
export const SESSION = LIFETIMES.sessionLifetimeMs;

/** Creates a store for one test, with assertions about the times and keys that it leaves in Redis. */
export async function openStore(t: Test, client: RedisClient, settings?: StoreSettings) {
  const s = storeOn(client, settings);
  t.teardown(() => s.store.close());
  const openedAt = await s.now();

  /** Whether an instant lies between the opening of the store and now, by Redis's clock. */
  const isRecent = async (at: number) => at >= openedAt && at <= (await s.now());

  return {
    ...s,
    isRecent,
    /** Whether `left` can remain of `ms` that began after the store was opened. */
    canRemain: async (left: number, ms: number) => left <= ms && left >= ms - ((await s.now()) - openedAt),
    /** Asserts that a key was given `ms` to live after the store was opened. */
    assertLifetime: async (t: Test, key: string, ms: number) => {
      const expiresAt = await s.expiresAt(key);
      t.ok(await isRecent(expiresAt - ms), `${key.slice(s.prefix.length)} was given ${ms} ms`);
    },
    /** Asserts that every key has an expiry and every member of a session set has a key. */
    assertConsistent: async (t: Test) => {
      t.same(await findKeysWithoutExpiry(client, s.prefix), [], 'every key has an expiry');
      t.same(await s.membersWithoutKey(), [], 'every member of a session set has its key');
    },
    /** Logs in and rotates once. The current pair is confirmed and closed. */
    closedSession: async (subject = newSubject()) => {
      const { pair: first } = await s.login(subject);
      const [, pair] = (await s.rotations(first, 1)) as [TokenPair, TokenPair];
      return { subject, first, pair };
    },
  };
}

export type OpenStore = Awaited<ReturnType<typeof openStore>>;

/** What an access token of a session of `subject` proves, apart from times. */
export function principalOf(subject: string, { refresh }: TokenPair) {
  return { subject, username: USERNAME, methods: ['pwd'], sessionId: refresh.sessionId };
}
