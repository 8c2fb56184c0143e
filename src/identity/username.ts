import { LatchkeyError } from '../errors.js';

const MAX_CHARACTERS = 254;
/** No form of 254 characters is longer: a character has at most 4 code points when taken apart, each of at most 2 units. */
const MAX_UNITS = MAX_CHARACTERS * 4 * 2;

/** Whatever is blank, invisible, steers the text around it, or is not (yet) a character. U+2800 is a blank braille cell. */
const UNPRINTABLE = /[\s\p{Z}\p{C}\p{Default_Ignorable_Code_Point}\u2800]/u;
const STARTS_WITH_MARK = /^\p{M}/u;

/** A name that no user can have. */
export class InvalidUsernameError extends LatchkeyError {
  constructor() {
    super('invalid_username', `A username is 1 to ${MAX_CHARACTERS} visible characters without spaces`);
  }
}

/**
 * The one spelling under which a username is kept: compatibility forms, case and surrounding space do not
 * tell two names apart (Unicode NFKC and case folding, UAX #15 and #21; in the spirit of RFC 8265 section 3.3).
 *
 * @returns 1 to 254 characters (code points); normalizing them again changes nothing.
 * @throws {InvalidUsernameError} for an empty or longer name, and for one that holds spaces, control, format,
 *   zero-width, bidirectional, unassigned or private characters, lone surrogates, or begins with a combining mark.
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

/** As {@link normalizeUsername}, of any name at all; undefined for one that is longer than any form of a username. */
export function foldUsername(input: string): string | undefined {
  const trimmed = input.trim();
  // One character can become eighteen, each of which would be folded by itself.
  if (trimmed.length > MAX_UNITS || trimmed.normalize('NFKC').length > MAX_UNITS) return undefined;
  return foldCase(trimmed);
}

/** NFKC and case folding. Each character by itself and by way of upper case, so that ß and ẞ are ss, and ς is σ wherever it stands. */
export function foldCase(text: string): string {
  let folded = '';
  for (const character of text.normalize('NFKC')) {
    folded += character.toLowerCase().toUpperCase().toLowerCase();
  }
  return folded.normalize('NFKC');
}
