import type { Users } from '../identity/users.js';
import type { SessionStore } from '../sessions/store.js';
import type { TokenCookies } from './cookies.js';

/** Something that happened to a session or a user, for logs and audits. It never holds a token or a password. */
export interface AuthEvent {
  readonly event:
    | 'register'
    | 'login'
    | 'refresh'
    | 'logout'
    | 'session_end'
    | 'password_change';
  readonly outcome: 'success' | 'failure' | 'suspicious';
  readonly reason?: string;
  readonly subject?: string;
  readonly sessionId?: string;
  readonly address: string;
}

/** What the routes stand on. */
export interface Services {
  readonly sessions: SessionStore;
  readonly users: Users;
  readonly cookies: TokenCookies;
  /** Where browsers reach this service. */
  readonly origins: ReadonlySet<string>;
  readonly registration: 'open' | 'closed';
  readonly loginPage: string;
  readonly report: (event: AuthEvent) => void;
}
