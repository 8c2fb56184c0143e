import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LatchkeyError } from '../errors.js';

const KEY = /^[\w-]{43}$/;

/** The file of the generated token key does not contain one. */
export class TokenKeyFileError extends LatchkeyError {
  constructor(file: string) {
    super('token_key_file', `${file} contains no token key: restore it, or delete it, which ends every session`);
  }
}

/**
 * Reads the token key of a service that is configured with none. The first call generates it, for its owner only.
 *
 * @throws {TokenKeyFileError} if the file is damaged: its content might be guessed, and tokens forged.
 */
export async function readOrCreateTokenKey(directory: string): Promise<string> {
  const file = join(directory, 'token-key');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const candidate = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(candidate, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flush: true });
  // Linking is atomic: of several processes that start at once, only the first succeeds. If no file exists after that,
  // reading it fails.
  await link(candidate, file).catch(() => undefined);
  await unlink(candidate);
  const key = (await readFile(file, 'utf8')).trim();
  if (!KEY.test(key)) throw new TokenKeyFileError(file);
  return key;
}
