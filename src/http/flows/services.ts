import type { Links } from '../../federation/links.js';
import type { Throttle } from '../../identity/throttle.js';
import type { UserDirectory } from '../../identity/directory.js';
import type { Passwords } from '../../identity/passwords.js';
import type { Registration } from '../../identity/registration.js';
import type { SessionStore } from '../../sessions/store.js';
import type { TokenCookies } from '../kit/cookies.js';
import type { Reporter } from './audit.js';

/** A user whose credentials were verified, by us or by the host application. */
export interface VerifiedUser {
  readonly subject: string;
  readonly username?: string;
  /** How the user authenticated (RFC 8176); `['pwd']` by default. */
  readonly methods?: readonly string[];
  /** The verified credential, if latchkey stores it: no session is issued if it has changed since. */
  readonly credential?: string;
}

/** Verifies what a user logs in with; undefined when it is wrong, whichever half of it. */
export type VerifyCredentials = (credentials: {
  readonly username: string;
  readonly password: string;
  readonly signal: AbortSignal;
  /**
   * To be told whose username it is, if it is anybody's: a failure is then reported with its subject, and answered no
   * differently.
   */
  readonly onKnown: (subject: string) => void;
}) => Promise<VerifiedUser | undefined>;

/** The users that register with this service and log in with a password. */
export interface LocalUsers {
  readonly directory: UserDirectory;
  readonly registration: Registration;
  readonly passwords: Passwords;
}

/** What the routes work with. */
export interface Services extends Reporter {
  readonly sessions: SessionStore;
  readonly verifyCredentials: VerifyCredentials;
  /** Undefined if the host application has its own users. */
  readonly users: LocalUsers | undefined;
  readonly throttle: Throttle;
  /** Links between users and their accounts at providers. Undefined without providers. */
  readonly links: Links | undefined;
  readonly cookies: TokenCookies;
  /** The web origins at which browsers reach this service. */
  readonly origins: ReadonlySet<string>;
  readonly registration: 'open' | 'closed';
  readonly loginPage: string;
  /** Maximum age of a login for what needs a recent one, in milliseconds; 0 means any age. */
  readonly recentAuthenticationMs: number;
  /** Reads Redis's clock, in milliseconds since 1970. */
  readonly now: () => Promise<number>;
}
