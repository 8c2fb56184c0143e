import { Problem } from './problem.js';

const ANY_ORIGIN = 'http://ours.invalid';

/** @throws {Problem} `invalid_request` for what a browser would not take as a path of this very origin. */
export function localPath(to: string): string {
  const url = URL.canParse(to, ANY_ORIGIN) ? new URL(to, ANY_ORIGIN) : undefined;
  // A path such as `/.//example.com` comes out of the parser as one that leads to another host.
  if (!to.startsWith('/') || url?.origin !== ANY_ORIGIN || url.pathname.startsWith('//')) {
    const field = { field: 'query.to', detail: 'must be a path of this site, such as /account' };
    throw new Problem('invalid_request', { detail: `${field.field}: ${field.detail}.`, errors: [field] });
  }
  return url.pathname + url.search + url.hash;
}
