import { LatchkeyError } from '../errors.js';

const MAX_CHARACTERS = 254;
/** UTF-16 units. A character decomposes into at most 4 code points of at most 2 units each. */
const MAX_UNITS = MAX_CHARACTERS * 4 * 2;

/** Characters that are blank, invisible or unassigned, or reorder text. U+2800 is a blank braille cell. */
const UNPRINTABLE = /[\s\p{Z}\p{C}\p{Default_Ignorable_Code_Point}\u2800]/u;
const STARTS_WITH_MARK = /^\p{M}/u;

/** A username that is not allowed. */
export class InvalidUsernameError extends LatchkeyError {
  constructor() {
    super('invalid_username', `A username is 1 to ${MAX_CHARACTERS} visible characters without spaces`);
  }
}

/**
 * Normalizes a username to the form in which it is stored. Usernames that differ only in compatibility forms, case or
 * surrounding space become the same (Unicode NFKC and case folding, UAX #15 and #21; similar to RFC 8265 section 3.3).
 *
 * @returns 1 to 254 characters (code points). Normalizing them again changes nothing.
 * @throws {InvalidUsernameError} if the username is empty or longer, or contains spaces, control, format,
 *   zero-width, bidirectional, unassigned or private-use characters or lone surrogates, or begins with a combining
 *   mark.
 */
export function normalizeUsername(input: string): string {
  const username = foldUsername(input);
  const acceptable =
    username !== undefined &&
    username !== '' &&
    [...username].length <= MAX_CHARACTERS &&
    !UNPRINTABLE.test(input.trim()) &&
    !UNPRINTABLE.test(username) &&
    !STARTS_WITH_MARK.test(username);
  if (!acceptable) throw new InvalidUsernameError();
  return username;
}

/**
 * Normalizes a username as {@link normalizeUsername} does, even if it is not allowed.
 *
 * @returns undefined if the username is too long in every Unicode form.
 */
export function foldUsername(input: string): string | undefined {
  const trimmed = input.trim();
  // Checked before folding, because normalizing can turn one character into eighteen.
  if (trimmed.length > MAX_UNITS || trimmed.normalize('NFKC').length > MAX_UNITS) return undefined;
  return foldCase(trimmed);
}

/**
 * Applies NFKC and case folding. Folds each character separately and through upper case, so that ß and ẞ become ss,
 * and ς becomes σ in every position.
 */
export function foldCase(text: string): string {
  let folded = '';
  for (const character of text.normalize('NFKC')) {
    folded += character.toLowerCase().toUpperCase().toLowerCase();
  }
  return folded.normalize('NFKC');
}
