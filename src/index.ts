// What the package exports as `latchkey`. `latchkey/check`, `latchkey/client` and `latchkey/testing` are separate.

/** The Fastify plugin, the object it adds to an app, and the types of its options. */
export { latchkey as default, latchkey, type Latchkey, type LatchkeyOptions } from './plugin.js';
export type { OidcProvider } from './federation/providers.js';
export type { SessionHook, SessionRequirements } from './http/flows/guards.js';
export type { VerifiedUser, VerifyCredentials } from './http/flows/verify-credentials.js';
export type { OAuthClient } from './http/oauth/clients.js';
export type { Brand } from './http/pages/index.js';
export type { FailedVerification } from './identity/passwords.js';
export type { Lifetimes, ThrottleLimits } from './options.js';
export type { RedisClient } from './redis/script.js';
export type { RedisClients } from './sessions/authenticator.js';

/** Authentication events, for logs and audit trails. */
export type { AuthEvent } from './http/flows/audit.js';

/** Sessions, their tokens, and the principals of access tokens. */
export type {
  DisplacedSessions,
  EndedReason,
  Identity,
  IssuedTokens,
  IssueRequest,
  Principal,
  RequestSource,
  Session,
  SessionData,
} from './sessions/session.js';
export type { RevokeAllRequest } from './sessions/revocations.js';
export type { AccessToken, RefreshToken, TokenPair } from './sessions/token.js';

/** The errors that the methods of `app.latchkey` throw. Each extends LatchkeyError and has its own `code`. */
export { LatchkeyError, UnavailableError } from './errors.js';
export { InvalidIdentityError, InvalidSessionDataError, StaleCredentialError } from './sessions/errors.js';
export { InvalidSubjectError } from './redis/keys.js';
