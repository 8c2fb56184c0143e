import { DEFAULTS } from './options.js';
import { RedisKeys } from './redis/keys.js';
import type { RedisClient } from './redis/script.js';
import { Authenticator } from './sessions/authenticator.js';

export { LatchkeyError, UnavailableError } from './errors.js';
export type { RedisClient } from './redis/script.js';
export type { Identity, Principal, SessionData } from './sessions/session.js';

/** Options of {@link createChecker}. */
export interface CheckerOptions {
  /** An ioredis client, of one server or a Cluster, for the Redis that holds the sessions. It gets no
   * custom commands. */
  readonly redis: RedisClient;
  /** The `REDIS_PREFIX` of the service. Default: `lk:`. */
  readonly redisPrefix?: string;
  /** Called if the first use of a token could not be recorded; its next use retries. Default: errors are ignored. */
  readonly onBackgroundFault?: (error: unknown) => void;
}

/** Checks access tokens. `close` waits for background work, but does not close the Redis client. */
export type Checker = Pick<Authenticator, 'authenticate' | 'close'>;

/**
 * Creates a checker of access tokens, for a service that uses the same Redis as the service that issues them. It needs
 * no token key. Tokens that are checked in the same event-loop turn are read from Redis together.
 *
 * @example
 * ```ts
 * import { Redis } from 'ioredis';
 * import { createChecker } from 'latchkey/check';
 *
 * const checker = createChecker({ redis: new Redis() });
 * const principal = await checker.authenticate(accessToken); // undefined if the token is not valid
 * console.log(principal?.subject);
 * ```
 */
export function createChecker({
  redis,
  redisPrefix = DEFAULTS.redisPrefix,
  onBackgroundFault = () => {},
}: CheckerOptions): Checker {
  return new Authenticator({ lookups: redis, scripts: redis }, { keys: new RedisKeys(redisPrefix), onBackgroundFault });
}
