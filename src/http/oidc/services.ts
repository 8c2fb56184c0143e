import type { AccountLinks } from '../../federation/links.js';
import type { LoginAttempts } from '../../federation/login-attempts.js';
import type { LogoutTokens } from '../../federation/logout-tokens.js';
import type { ProviderSessions } from '../../federation/provider-sessions.js';
import type { Providers } from '../../federation/providers.js';
import type { Services } from '../flows/services.js';

/** Dependencies of the routes for logging in with a provider. */
export interface OidcServices extends Services {
  readonly providers: Providers;
  readonly links: AccountLinks;
  readonly loginAttempts: LoginAttempts;
  readonly providerSessions: ProviderSessions;
  readonly logoutTokens: LogoutTokens;
  /** The absolute lifetime of a session. */
  readonly sessionLifetimeMs: number;
}
