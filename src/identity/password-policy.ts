import { LatchkeyError } from '../errors.js';
import { DEFAULTS, MAX_PASSWORD_LENGTH } from '../options.js';
import { isCommon } from './common-passwords.js';
import { foldCase } from './username.js';

/** UTF-16 units. A character decomposes into at most 4 code points of at most 2 units each. */
const MAX_UNITS = MAX_PASSWORD_LENGTH * 4 * 2;

export type PasswordRejection = 'malformed' | 'too_short' | 'too_long' | 'too_common' | 'is_username';

const MESSAGES: Record<Exclude<PasswordRejection, 'too_short'>, string> = {
  malformed: 'The password is not well-formed Unicode',
  too_long: `The password is longer than ${MAX_PASSWORD_LENGTH} characters`,
  too_common: 'The password is too common and easy to guess',
  is_username: 'The password is the username',
};

/** The configurable rules for new passwords. */
export interface PasswordPolicy {
  /** In characters (code points); 15 by default. */
  readonly minimumLength?: number | undefined;
}

/** A password that is not allowed, and why. The error never contains the password. */
export class PasswordNotAllowedError extends LatchkeyError {
  readonly reason: PasswordRejection;

  constructor(reason: keyof typeof MESSAGES);
  constructor(reason: 'too_short', minimumLength: number);
  constructor(reason: PasswordRejection, minimumLength?: number) {
    super(
      'password_not_allowed',
      reason === 'too_short' ? `The password is shorter than ${minimumLength} characters` : MESSAGES[reason],
    );
    this.reason = reason;
  }
}

/**
 * Normalizes a password to NFKC for hashing, so that the same password typed on another keyboard gives the same hash
 * (NIST SP 800-63B-4 section 3.1.1.2). Nothing is truncated, trimmed or case-folded.
 *
 * @throws {PasswordNotAllowedError} `malformed` if there are lone surrogates, `too_long` if the result has more than
 *   1,024 characters (code points).
 */
export function normalizePassword(password: string): string {
  // Checked first, because normalizing a long run of combining marks takes quadratic time.
  if (password.length > MAX_UNITS) throw new PasswordNotAllowedError('too_long');
  if (!password.isWellFormed()) throw new PasswordNotAllowedError('malformed');
  const normalized = password.normalize('NFKC');
  if (lengthOf(normalized) > MAX_PASSWORD_LENGTH) throw new PasswordNotAllowedError('too_long');
  return normalized;
}

/**
 * Checks a new password: it has `minimumLength` (15) to 1,024 characters (code points), is not the username, and is not
 * easy to guess. Any characters are allowed, and none are required (NIST SP 800-63B-4 section 3.1.1.2, OWASP ASVS 5.0
 * V6.2).
 *
 * @returns the password as it is to be hashed, see {@link normalizePassword}.
 * @throws {PasswordNotAllowedError} with the `reason`, if the password is not allowed.
 */
export function checkNewPassword(
  password: string,
  { minimumLength = DEFAULTS.passwordMinLength, username }: PasswordPolicy & { readonly username: string },
): string {
  const normalized = normalizePassword(password);
  // Both forms count, because normalizing can turn one character into eighteen (U+FDFA) that are no harder to guess.
  if (Math.min(lengthOf(password), lengthOf(normalized)) < minimumLength)
    throw new PasswordNotAllowedError('too_short', minimumLength);
  const folded = foldCase(normalized);
  const foldedUsername = foldCase(username);
  if (folded.trim() === foldedUsername) throw new PasswordNotAllowedError('is_username');
  const [localPart = ''] = foldedUsername.split('@');
  if (isCommon(folded, [foldedUsername, localPart])) throw new PasswordNotAllowedError('too_common');
  return normalized;
}

function lengthOf(text: string): number {
  return [...text].length;
}
