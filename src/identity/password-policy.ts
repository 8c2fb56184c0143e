import { LatchkeyError } from '../errors.js';
import { DEFAULTS, MAX_PASSWORD_LENGTH } from '../options.js';
import { isCommon } from './common-passwords.js';
import { foldCase } from './username.js';

/** No form of 1,024 characters is longer: a character has at most 4 code points when taken apart, each of at most 2 units. */
const MAX_UNITS = MAX_PASSWORD_LENGTH * 4 * 2;

export type PasswordRefusal = 'malformed' | 'too_short' | 'too_long' | 'too_common' | 'is_username';

const MESSAGES: Record<Exclude<PasswordRefusal, 'too_short'>, string> = {
  malformed: 'The password is not well-formed Unicode',
  too_long: `The password is longer than ${MAX_PASSWORD_LENGTH} characters`,
  too_common: 'The password is one of the first that a guesser would try',
  is_username: 'The password is the username',
};

/** What a new password must be, apart from the rules that always hold. */
export interface PasswordPolicy {
  /** In characters (code points); 15 by default. */
  readonly minimumLength?: number | undefined;
}

/** A password that this service does not take, and why; it never holds the password. */
export class PasswordNotAllowedError extends LatchkeyError {
  readonly reason: PasswordRefusal;

  constructor(reason: keyof typeof MESSAGES);
  constructor(reason: 'too_short', minimumLength: number);
  constructor(reason: PasswordRefusal, minimumLength?: number) {
    super(
      'password_not_allowed',
      reason === 'too_short' ? `The password is shorter than ${minimumLength} characters` : MESSAGES[reason],
    );
    this.reason = reason;
  }
}

/**
 * The form of a password that is hashed: NFKC, so that it does not depend on the keyboard it was typed on
 * (NIST SP 800-63B-4 section 3.1.1.2). Nothing is cut off, trimmed or folded.
 *
 * @throws {PasswordNotAllowedError} `malformed` for lone surrogates, `too_long` beyond 1,024 characters (code points) in this form.
 */
export function normalizePassword(password: string): string {
  // Before anything that looks at each character: normalizing takes quadratic time on long runs of combining marks.
  if (password.length > MAX_UNITS) throw new PasswordNotAllowedError('too_long');
  if (!password.isWellFormed()) throw new PasswordNotAllowedError('malformed');
  const normalized = password.normalize('NFKC');
  if (lengthOf(normalized) > MAX_PASSWORD_LENGTH) throw new PasswordNotAllowedError('too_long');
  return normalized;
}

/**
 * The policy for a new password: `minimumLength` (15) to 1,024 characters (code points), any characters, no rules
 * of composition, not the username, and nothing that a guesser tries first (NIST SP 800-63B-4 section 3.1.1.2,
 * OWASP ASVS 5.0 V6.2).
 *
 * @returns the password in the form that is hashed, see {@link normalizePassword}.
 * @throws {PasswordNotAllowedError} with the `reason`.
 */
export function checkNewPassword(
  password: string,
  { minimumLength = DEFAULTS.passwordMinLength, username }: PasswordPolicy & { readonly username: string },
): string {
  const normalized = normalizePassword(password);
  // Both forms, since one character can become eighteen (U+FDFA) and is no harder to guess for it.
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
