import type { AccountLinks } from '../../federation/links.js';
import type { UserDirectory } from '../../identity/directory.js';
import type { Passwords } from '../../identity/passwords.js';
import type { Registration } from '../../identity/registration.js';
import type { Throttle } from '../../identity/throttle.js';
import type { SessionStore } from '../../sessions/store.js';
import type { TokenCookies } from '../kit/cookies.js';
import type { Reporter } from './audit.js';
import type { CredentialVerifier } from './verify-credentials.js';

/** Users who register with this service and log in with a password. */
export interface LocalUsers {
  readonly directory: UserDirectory;
  readonly registration: Registration;
  readonly passwords: Passwords;
}

/** Dependencies and settings of the routes. */
export interface Services extends Reporter {
  readonly sessions: SessionStore;
  readonly verifyCredentials: CredentialVerifier;
  /** Undefined if the host application has its own users. */
  readonly users: LocalUsers | undefined;
  readonly throttle: Throttle;
  /** Links between users and their accounts at providers. Undefined without providers. */
  readonly links: AccountLinks | undefined;
  readonly cookies: TokenCookies;
  /** The web origins at which browsers reach this service. */
  readonly origins: ReadonlySet<string>;
  readonly registration: 'open' | 'closed';
  readonly loginPage: string;
  /** Maximum age of a login, in milliseconds, for actions that require a recent one; 0 disables the check. */
  readonly recentAuthenticationMs: number;
  /** Reads Redis's clock, in milliseconds since the Unix epoch. */
  readonly now: () => Promise<number>;
}
