/** Why a session ended, as the service names it: `logged_out`, `password_changed`, `reused`, `missing` … */
export type SignedOutReason = string;

/** A session as the service describes it. Instants are seconds since 1970. */
export interface Session {
  session_id: string;
  subject: string;
  username?: string;
  /** When the user last authenticated. */
  authenticated_at: number;
  /** How the user authenticated (RFC 8176). */
  methods: string[];
  /** When the access token expires. The session goes on: the client renews the token. */
  expires_at: number;
  client_id?: string;
  scope?: string;
  data?: Record<string, unknown>;
}

/** One of the user's sessions. Instants are seconds since 1970. */
export interface Device {
  id: string;
  /** Whether it is the session of this browser. */
  current: boolean;
  /** A label for people, such as `Firefox 140 · Linux`. */
  device: string;
  /** Network address at the last renewal. */
  address: string;
  methods: string[];
  authenticated_at: number;
  created_at: number;
  renewed_at: number;
  /** When its absolute lifetime ends. */
  ends_at: number;
}

export interface Credentials {
  username: string;
  password: string;
}

/** Which sessions of the user to end: all, only that of this browser, or all others. */
export type LogoutScope = 'all' | 'session' | 'others';

export interface ClientOptions {
  /** Where the service's routes are, on the page's own origin; `/auth` by default. */
  baseUrl?: string;
  /** Called once in every tab when the session has ended, whatever ended it; again only after another login. */
  onSignedOut?: (reason: SignedOutReason) => void;
  /** Seconds before expiry at which a visible tab renews the access token; `true` means 60, `false` is the default. */
  refreshAhead?: boolean | number;
  /** How long to wait for a refresh, login, logout or password change in another tab; 5,000 by default. */
  lockTimeoutMs?: number;
  /** Sends the requests; the global `fetch` by default. */
  fetch?: typeof fetch;
}

export interface Client {
  /**
   * Like `fetch`, but renews an expired access token once and repeats the request. Requests to other origins, and
   * those that cannot be sent twice, are not repeated: see docs/client.md.
   *
   * @throws {LatchkeyClientError} if the access token has expired and the service cannot be reached to renew it.
   */
  fetch: typeof fetch;
  /** @throws {LatchkeyClientError} `invalid_credentials` for a wrong username or password. */
  login(credentials: Credentials): Promise<Session>;
  /** Creates a user, without logging in. */
  register(credentials: Credentials): Promise<{ subject: string; username: string }>;
  /** @param scope `all` by default: ends every session of the user. */
  logout(scope?: LogoutScope): Promise<void>;
  /** The session of this browser, renewed if need be; undefined if there is none. */
  session(): Promise<Session | undefined>;
  /** All sessions of the user. */
  sessions(): Promise<Device[]>;
  /** @throws {LatchkeyClientError} `not_found` if the user has no such session, or no longer. */
  endSession(id: string): Promise<void>;
  /** Changes the password and ends every session of the user; this browser gets a new one. */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<Session>;
  /** Stops renewing ahead of time and listening to other tabs. */
  close(): void;
}
