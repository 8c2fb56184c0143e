import { callRedis } from '../../redis/faults.js';
import { digestOf } from './attempt.js';
import type { OidcServices } from './services.js';

const SLACK_MS = 60_000;

type Stores = Pick<OidcServices, 'redis' | 'keys' | 'sessionLifetimeMs'>;

/** A session at a provider, by the `sid` of its tokens. */
export interface SessionThere {
  readonly issuer: string;
  readonly sid: string;
}

/**
 * Remembers whose a session at a provider is, until every session that begins here with it is over. It says nothing of whether
 * one lives, so it need not be true together with what does; it comes before it, so that no session is without it.
 */
export async function remember(
  there: SessionThere,
  subject: string,
  { redis, keys, sessionLifetimeMs }: Stores,
): Promise<void> {
  await callRedis(() => redis.set(keyOf(there, keys), subject, 'PX', sessionLifetimeMs + SLACK_MS));
}

/** The subject; undefined if nobody came from that session. */
export async function whose(there: SessionThere, { redis, keys }: Stores): Promise<string | undefined> {
  return (await callRedis(() => redis.get(keyOf(there, keys)))) ?? undefined;
}

function keyOf({ issuer, sid }: SessionThere, keys: Stores['keys']): string {
  return keys.oidc('session', digestOf(JSON.stringify([issuer, sid])));
}
