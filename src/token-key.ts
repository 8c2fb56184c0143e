import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The token key of a service that was given none: made once, readable by its owner alone. */
export async function localTokenKey(directory: string): Promise<string> {
  const file = join(directory, 'token-key');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const candidate = `${file}.${process.pid}`;
  await writeFile(candidate, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 });
  try {
    // A link appears whole or not at all, and only the first of several that start at once.
    await link(candidate, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await unlink(candidate);
  }
  return (await readFile(file, 'utf8')).trim();
}
