import { DEFAULTS } from './options.js';
import { Keys } from './redis/keys.js';
import type { RedisClient } from './redis/script.js';
import { Authenticator } from './sessions/authenticator.js';

export { LatchkeyError, UnavailableError } from './errors.js';
export type { Identity, Principal, SessionData } from './sessions/session.js';

export interface CheckerOptions {
  /** A client of the Redis that the sessions are in: ioredis, one server or a Cluster. Nothing is defined on it. */
  readonly redis: RedisClient;
  /** As the service's `REDIS_PREFIX`; `lk:` by default. */
  readonly redisPrefix?: string;
  /** Told when the first use of a token could not be noted; its next use tries again. Silent by default. */
  readonly onBackgroundFault?: (error: unknown) => void;
}

/**
 * Checks access tokens in a service that shares the Redis of the one that issues them. It needs no token key.
 *
 * `authenticate(token)` gives the token's principal, or undefined when it is malformed, expired, revoked or unknown, by
 * one read that it shares with all others of the same event-loop turn; it throws UnavailableError when Redis does not
 * answer. `close()` waits for what goes on in the background; the client stays open.
 */
export function createChecker({
  redis,
  redisPrefix = DEFAULTS.redisPrefix,
  onBackgroundFault = () => {},
}: CheckerOptions): Pick<Authenticator, 'authenticate' | 'close'> {
  return new Authenticator({ lookups: redis, scripts: redis }, { keys: new Keys(redisPrefix), onBackgroundFault });
}
