import type { FailedVerification } from '../../identity/passwords.js';

/** A user whose credentials were verified, by this service or by the host application. */
export interface VerifiedUser {
  readonly verified?: true;
  readonly subject: string;
  readonly username?: string;
  /** Authentication methods (RFC 8176 section 2). Default: `['pwd']`. */
  readonly methods?: readonly string[];
  /** The password hash that matched, if latchkey stores it. No session is issued if it has changed since. */
  readonly credential?: string;
}

/**
 * Verifies the credentials of a login.
 *
 * @returns the user if the credentials are right; otherwise undefined, null or false, or `{ verified: false, subject }`
 *   to include the subject in the reported event. The client sees no difference.
 * @example
 * ```ts
 * const verifyCredentials: VerifyCredentials = async ({ username, password }) => {
 *   const user = await users.find(username);
 *   if (!user) return undefined;
 *   if (!(await user.hasPassword(password))) return { verified: false, subject: user.id };
 *   return { subject: user.id, username };
 * };
 * ```
 */
export type VerifyCredentials = (credentials: {
  readonly username: string;
  readonly password: string;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
}) => Promise<VerifiedUser | FailedVerification | undefined | null | false>;

export type Verification = (VerifiedUser & { readonly verified: true }) | FailedVerification;

/** A {@link VerifyCredentials} whose result always says whether it is verified. */
export type CredentialVerifier = (credentials: Parameters<VerifyCredentials>[0]) => Promise<Verification>;

/**
 * Wraps a host application's function so that its result always says whether it is verified. A falsy result, or one
 * whose `verified` is neither true nor absent, is a failure.
 */
export function toCredentialVerifier(verifyCredentials: VerifyCredentials): CredentialVerifier {
  return async (credentials) => {
    const result = await verifyCredentials(credentials);
    if (!result) return { verified: false };
    const { verified = true } = result;
    if (verified !== true) return { verified: false, subject: result.subject };
    return { ...(result as VerifiedUser), verified };
  };
}
