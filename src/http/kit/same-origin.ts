import type { FastifyRequest } from 'fastify';
import { readCookie, type TokenCookies } from './cookies.js';
import { Problem } from './problem.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Rejects state-changing requests from other sites, forged logins included (OWASP ASVS 5.0 V3.5).
 *
 * A request with our cookies must prove that it comes from one of `origins`. A request without them is refused only if
 * `Sec-Fetch-Site` or `Origin` show another site: with neither header, no browser sent it. Even then `Authorization`
 * makes it acceptable, because a page of another site cannot add that header without our permission.
 *
 * @throws {Problem} `cross_site_request`
 */
export function rejectCrossSiteRequest(
  { method, headers }: FastifyRequest,
  { origins, cookies }: { origins: ReadonlySet<string>; cookies: TokenCookies },
): void {
  if (SAFE_METHODS.has(method)) return;
  const { 'sec-fetch-site': site, origin, authorization, cookie } = headers;
  const ours = site === undefined ? origin !== undefined && origins.has(origin) : site === 'same-origin';
  if (ours) return;
  const foreign = site === undefined ? origin !== undefined : site !== 'none';
  const withCookies = [cookies.access, cookies.refresh].some((name) => readCookie(cookie, name) !== undefined);
  if (withCookies || (foreign && authorization === undefined)) throw new Problem('cross_site_request');
}
