// What is public of the package `latchkey`; `latchkey/check`, `latchkey/client` and `latchkey/testing` stand by themselves.

/** The Fastify plugin, its options, and what it decorates an app with. */
export { latchkey as default, latchkey, type Latchkey, type LatchkeyOptions } from './plugin.js';
export type { Lifetimes, ThrottleLimits } from './options.js';
export type { SessionHook, SessionRequirements } from './http/flows/guards.js';
export type { VerifyCredentials, VerifiedUser } from './http/flows/services.js';

/** What happened, for logs and audits. */
export type { AuthEvent } from './http/flows/audit.js';

/** What a token proves, and what a session is. */
export type {
  EndedReason,
  Identity,
  IssuedTokens,
  IssueRequest,
  RequestSource,
  Principal,
  Session,
  SessionData,
} from './sessions/session.js';
export type { AccessToken, RefreshToken, TokenPair } from './sessions/token.js';

/** What the decorated methods throw: one base, told apart by `code`. */
export { LatchkeyError, UnavailableError } from './errors.js';
export { InvalidIdentityError, InvalidSessionDataError, StaleCredentialError } from './sessions/errors.js';
export { InvalidSubjectError } from './redis/keys.js';
