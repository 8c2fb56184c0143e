import { ConfigError, loadConfig } from '../../../src/server/config/load.js';

/** A token key, the hash of a secret, and a webhook secret, each in its right form. */
export const KEY = 'k'.repeat(32);
export const HASH = 'h'.repeat(43);
export const SECRET = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;

/** The problems that an environment is refused for; none if it is accepted. */
export function problemsOf(env: NodeJS.ProcessEnv, readFile?: (path: string) => string): readonly string[] {
  try {
    loadConfig(env, readFile && { readFile });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}
