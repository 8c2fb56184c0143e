/** Why a session ended, as the service names it: `logged_out`, `password_changed`, `reused`, `missing` … */
export type SignedOutReason = string;

/** A session as the service describes it. Timestamps are in seconds since the Unix epoch. */
export interface Session {
  session_id: string;
  subject: string;
  username?: string;
  /** When the user last authenticated. */
  authenticated_at: number;
  /** How the user authenticated (RFC 8176). */
  methods: string[];
  /** When the access token expires. The session continues: the client refreshes it. */
  expires_at: number;
  client_id?: string;
  scope?: string;
  data?: Record<string, unknown>;
}

/** One of the user's sessions. Timestamps are in seconds since the Unix epoch. */
export interface Device {
  id: string;
  /** Whether it is this browser's session. */
  current: boolean;
  /** A human-readable label, such as `Firefox 140 · Linux`. */
  device: string;
  /** Network address at the last refresh. */
  address: string;
  methods: string[];
  authenticated_at: number;
  created_at: number;
  renewed_at: number;
  /** When the session's absolute lifetime ends. */
  ends_at: number;
}

export interface Credentials {
  username: string;
  password: string;
}

/** Which of the user's sessions to end: all, only this browser's, or all others. */
export type LogoutScope = 'all' | 'session' | 'others';

export interface ClientOptions {
  /** Where the service's routes are, on the page's own origin; `/auth` by default. */
  baseUrl?: string;
  /** Called once in each tab when the session ends, for any reason; again only after another login. */
  onSignedOut?: (reason: SignedOutReason) => void;
  /** Seconds before expiry at which a visible tab refreshes the session; `true` means 60, `false` is the default. */
  refreshAhead?: boolean | number;
  /** How long to wait for a refresh, login, logout or password change in another tab, in ms; 5,000 by default. */
  lockTimeoutMs?: number;
  /** Sends the requests; the global `fetch` by default. */
  fetch?: typeof fetch;
}

export interface Client {
  /**
   * Like `fetch`, but refreshes the session once if the access token has expired, and retries the request. Requests to
   * other origins, and those that cannot be sent twice, are not retried: see docs/client.md.
   *
   * @throws {LatchkeyClientError} if the access token has expired and the service cannot be reached to refresh it.
   */
  fetch: typeof fetch;
  /** @throws {LatchkeyClientError} `invalid_credentials` for a wrong username or password. */
  login(credentials: Credentials): Promise<Session>;
  /** Creates a user, without logging in. */
  register(credentials: Credentials): Promise<{ subject: string; username: string }>;
  /** @param scope `all` by default: ends every session of the user. */
  logout(scope?: LogoutScope): Promise<void>;
  /** Returns this browser's session, refreshed if necessary; undefined if there is none. */
  session(): Promise<Session | undefined>;
  /** Returns all sessions of the user. */
  sessions(): Promise<Device[]>;
  /** @throws {LatchkeyClientError} `not_found` if the user has no such session. */
  endSession(id: string): Promise<void>;
  /** Changes the password, ends all of the user's sessions and starts a new one in this browser. */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<Session>;
  /** Stops background refreshes and closes the channel to other tabs. */
  close(): void;
}
