import type { Links } from '../../federation/links.js';
import type { Keys } from '../../redis/keys.js';
import type { RedisClient } from '../../redis/script.js';
import type { Services } from '../flows/services.js';
import type { Providers } from './providers.js';

/** What the routes for logging in with a provider stand on. */
export interface OidcServices extends Services {
  readonly providers: Providers;
  readonly links: Links;
  readonly redis: RedisClient;
  readonly keys: Keys;
  /** The absolute lifetime of a session. */
  readonly sessionLifetimeMs: number;
}
