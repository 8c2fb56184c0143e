import type { TokenPair } from './token.js';

/** Why a session ended. A client that still presents its refresh token gets the reason. */
export const ENDED_REASONS = [
  'logged_out',
  'logged_out_elsewhere',
  'password_changed',
  'superseded',
  'reused',
  'evicted',
  'revoked',
] as const;
export type EndedReason = (typeof ENDED_REASONS)[number];

/** The application's JSON, which is stored with a session. */
export type SessionData = { readonly [name: string]: unknown };

/** What is known about the user of a session, the same for each of its access tokens. */
export interface Identity {
  /** The identifier of the user. */
  readonly subject: string;
  readonly username?: string;
  /** When the user last authenticated, in milliseconds since the Unix epoch (OpenID Connect `auth_time`). */
  readonly authenticatedAt: number;
  /** How the user authenticated (RFC 8176 authentication method references), for example `['pwd']`. */
  readonly methods: readonly string[];
  /** The OAuth client that the session was issued to, if any. */
  readonly client?: string;
  readonly scope?: string;
  readonly data?: SessionData;
}

/** The authenticated user and session of an access token. */
export interface Principal extends Identity {
  readonly sessionId: string;
  /** When this access token expires, in milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** The session that a refresh token belongs to. Timestamps are in milliseconds since the Unix epoch. */
export interface RefreshTokenInspection extends Identity {
  /** `active` if a refresh with the token would succeed, `reused` if it would end the session. */
  readonly status: 'active' | 'reused';
  /** When the session was last refreshed, or created if it never was. */
  readonly renewedAt: number;
  /** When the session ends unless it is refreshed again. */
  readonly expiresAt: number;
}

/** A session: one login on one device. Timestamps are in milliseconds since the Unix epoch. */
export interface Session extends Identity {
  readonly sessionId: string;
  readonly createdAt: number;
  /** When the session was last refreshed, or created if it never was. */
  readonly renewedAt: number;
  /** When its absolute lifetime ends, which no refresh extends. */
  readonly endsAt: number;
  /** A human-readable label, such as `Firefox 140 · Linux`. */
  readonly device: string;
  /** The network address of the last refresh, or of the login. */
  readonly address: string;
  /** How many pairs of tokens have been issued. */
  readonly generation: number;
}

/** A session that ended recently. */
export interface EndedSession {
  readonly sessionId: string;
  readonly reason: EndedReason;
  /** In milliseconds since the Unix epoch. */
  readonly at: number;
  readonly device: string;
}

/** Where a request came from. */
export interface RequestSource {
  readonly device: string;
  readonly address: string;
}

/** What {@link SessionStore.issue} starts a session with. */
export interface IssueRequest {
  readonly identity: Omit<Identity, 'authenticatedAt'>;
  /** When the user authenticated, in milliseconds since the Unix epoch; now by default. */
  readonly authenticatedAt?: number;
  /** The stored credential that was verified. The session is not issued if it has changed since. */
  readonly credential?: string;
  readonly origin: RequestSource;
  /** The id of a session of the same subject that this one replaces. */
  readonly supersedes?: string;
  /** An absolute lifetime in milliseconds. It applies if it is shorter than the configured one. */
  readonly lifetimeMs?: number;
}

/** Ids of the sessions that `issue` ended: those over the user's limit, and the one that it replaced. */
export interface DisplacedSessions {
  readonly evicted: readonly string[];
  readonly superseded: readonly string[];
}

/** A pair of tokens, how long each is still valid, and the principal of the access token. */
export interface IssuedTokens {
  readonly pair: TokenPair;
  readonly principal: Principal;
  readonly accessExpiresInMs: number;
  readonly refreshExpiresInMs: number;
}

/**
 * The result of a refresh. For `unchanged` and `retried`, an earlier request issued the pair. `lastSource` is the
 * device of the login, and the address of the last rotation before this request, or of the login.
 */
export type Rotation =
  | ({ readonly outcome: 'rotated' | 'unchanged' | 'retried'; readonly lastSource: RequestSource } & IssuedTokens)
  | { readonly outcome: 'ended'; readonly reason: EndedReason | 'unknown' }
  | { readonly outcome: 'reused'; readonly subject: string; readonly sessionId: string };
