import { Problem } from './problem.js';

/** The maximum length of a path to redirect to, in characters. */
export const MAX_PATH_LENGTH = 2048;

const PLACEHOLDER_ORIGIN = 'http://placeholder.invalid';

/**
 * Returns the path to redirect to, from the query parameter `to`.
 *
 * @throws {Problem} `invalid_request` if it could lead a browser to another origin.
 */
export function requireLocalPath(to: string): string {
  const path = parseLocalPath(to);
  if (path !== undefined) return path;
  const field = { field: 'query.to', detail: 'must be a path on this site, such as /account' };
  throw new Problem('invalid_request', { detail: `${field.field}: ${field.detail}.`, errors: [field] });
}

/** Parses a path as a browser would; undefined if it could lead the browser to another origin. */
export function parseLocalPath(to: string): string | undefined {
  const url = URL.canParse(to, PLACEHOLDER_ORIGIN) ? new URL(to, PLACEHOLDER_ORIGIN) : undefined;
  // The parser turns `/.//example.com` into `//example.com`, which leads to another host.
  if (!to.startsWith('/') || url?.origin !== PLACEHOLDER_ORIGIN || url.pathname.startsWith('//')) return undefined;
  return url.pathname + url.search + url.hash;
}
