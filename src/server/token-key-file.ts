import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LatchkeyError } from '../errors.js';

const KEY = /^[\w-]{43}$/;

/** The file of the service's own token key does not hold one. */
export class TokenKeyFileError extends LatchkeyError {
  constructor(file: string) {
    super('token_key_file', `${file} holds no token key: put it back, or delete it, which ends every session`);
  }
}

/**
 * The token key of a service that was given none: made once, readable by its owner alone.
 *
 * @throws {TokenKeyFileError} when the file was damaged: tokens must not be signed with what anyone could guess.
 */
export async function localTokenKey(directory: string): Promise<string> {
  const file = join(directory, 'token-key');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const candidate = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(candidate, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flush: true });
  // A link appears whole or not at all, and only the first of several that start at once; if there is none after that, reading it fails.
  await link(candidate, file).catch(() => undefined);
  await unlink(candidate);
  const key = (await readFile(file, 'utf8')).trim();
  if (!KEY.test(key)) throw new TokenKeyFileError(file);
  return key;
}
