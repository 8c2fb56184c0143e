import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LatchkeyError } from '../errors.js';

const KEY = /^[\w-]{43}$/;

/** The file with the generated token key is damaged. */
export class TokenKeyFileError extends LatchkeyError {
  constructor(file: string) {
    super(
      'token_key_file',
      `${file} does not contain a valid token key: restore it, or delete it (this ends all sessions)`,
    );
  }
}

/**
 * Reads the generated token key of a service without TOKEN_KEYS, and generates it on first use. Only the owner of the
 * process can read the file.
 *
 * @throws {TokenKeyFileError} if the file does not contain a valid key: with a guessable one, tokens could be forged.
 */
export async function readOrCreateTokenKey(directory: string): Promise<string> {
  const file = join(directory, 'token-key');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const candidate = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(candidate, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flush: true });
  // Linking is atomic: if several processes start at once, only the first succeeds. Any other error shows when the file
  // is read.
  await link(candidate, file).catch(() => undefined);
  await unlink(candidate);
  const key = (await readFile(file, 'utf8')).trim();
  if (!KEY.test(key)) throw new TokenKeyFileError(file);
  return key;
}
