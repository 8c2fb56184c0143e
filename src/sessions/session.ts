import type { TokenPair } from './token.js';

/** Why a session ended; what a client that comes back with its refresh token is told. */
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

/** JSON of the application's own, carried by a session. */
export type SessionData = { readonly [name: string]: unknown };

/** What is known about whoever began a session, the same in each of its access tokens. */
export interface Identity {
  /** For whom the session is. */
  readonly subject: string;
  readonly username?: string;
  /** When the user last proved who they are, milliseconds since 1970 (OpenID Connect `auth_time`). */
  readonly authenticatedAt: number;
  /** How (RFC 8176 authentication method references), for example `['pwd']`. */
  readonly methods: readonly string[];
  /** The OAuth client that the session was issued to, if any. */
  readonly client?: string;
  readonly scope?: string;
  readonly data?: SessionData;
}

/** What an access token proves. */
export interface Principal extends Identity {
  readonly sessionId: string;
  /** When this access token expires, milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Whom a refresh token belongs to. Instants are milliseconds since 1970. */
export interface RefreshTokenInspection extends Identity {
  /** Whether a refresh with it would succeed, or end its session. */
  readonly status: 'active' | 'reused';
  /** When the session was last renewed by a rotation, or else begun. */
  readonly renewedAt: number;
  /** When the session ends if it is not renewed. */
  readonly expiresAt: number;
}

/** One login on one device, as its user may see it. Instants are milliseconds since 1970. */
export interface Session extends Identity {
  readonly sessionId: string;
  readonly createdAt: number;
  /** When it was last renewed by a rotation, or else begun. */
  readonly renewedAt: number;
  /** Its absolute end. */
  readonly endsAt: number;
  /** A label for people. */
  readonly device: string;
  /** The network address of its last renewal. */
  readonly address: string;
  /** How many pairs of tokens it has had. */
  readonly generation: number;
}

/** A session of a user's that ended in the last days. */
export interface Ending {
  readonly sessionId: string;
  readonly reason: EndedReason;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly device: string;
}

/** A pair of tokens with what is left of them, and what they prove. */
export interface IssuedTokens {
  readonly pair: TokenPair;
  readonly principal: Principal;
  readonly accessExpiresInMs: number;
  readonly refreshExpiresInMs: number;
}

/** What became of a refresh token. `unchanged` and `retried` repeat a pair that was already issued. */
export type Rotation =
  | ({ readonly outcome: 'rotated' | 'unchanged' | 'retried'; readonly lastRotation: RequestSource } & IssuedTokens)
  | { readonly outcome: 'ended'; readonly reason: EndedReason | 'unknown' }
  | { readonly outcome: 'reused'; readonly subject: string; readonly sessionId: string };

/** Where a request came from. */
export interface RequestSource {
  readonly device: string;
  readonly address: string;
}
