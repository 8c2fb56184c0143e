import { Problem } from './problem.js';

/** Characters of a path to go on to. */
export const MAX_PATH_LENGTH = 2048;

const ANY_ORIGIN = 'http://ours.invalid';

/** @throws {Problem} `invalid_request` for what a browser would not take as a path of this very origin. */
export function requireLocalPath(to: string): string {
  const path = parseLocalPath(to);
  if (path !== undefined) return path;
  const field = { field: 'query.to', detail: 'must be a path of this site, such as /account' };
  throw new Problem('invalid_request', { detail: `${field.field}: ${field.detail}.`, errors: [field] });
}

/** The path as a browser would ask for it; undefined for what could lead it to another origin. */
export function parseLocalPath(to: string): string | undefined {
  const url = URL.canParse(to, ANY_ORIGIN) ? new URL(to, ANY_ORIGIN) : undefined;
  // A path such as `/.//example.com` comes out of the parser as one that leads to another host.
  if (!to.startsWith('/') || url?.origin !== ANY_ORIGIN || url.pathname.startsWith('//')) return undefined;
  return url.pathname + url.search + url.hash;
}
