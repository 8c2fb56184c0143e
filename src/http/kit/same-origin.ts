import type { FastifyRequest } from 'fastify';
import { readCookie, type TokenCookies } from './cookies.js';
import { Problem } from './problem.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Prevents cross-site request forgery, including login CSRF (OWASP ASVS 5.0 V3.5), by rejecting state-changing requests
 * from other origins.
 *
 * A request with token cookies must have `Sec-Fetch-Site: same-origin` or, without that header, an `Origin` in
 * `origins`. A request without them is rejected only if either header shows another origin and it has no
 * `Authorization` header, which a page of another origin cannot send without CORS. A request with neither header was
 * not sent by a browser.
 *
 * @throws {Problem} `cross_site_request`
 */
export function rejectCrossSiteRequest(
  { method, headers }: FastifyRequest,
  { origins, cookies }: { origins: ReadonlySet<string>; cookies: TokenCookies },
): void {
  if (SAFE_METHODS.has(method)) return;
  const { 'sec-fetch-site': site, origin, authorization, cookie } = headers;
  const isSameOrigin = site === undefined ? origin !== undefined && origins.has(origin) : site === 'same-origin';
  if (isSameOrigin) return;
  const isCrossSite = site === undefined ? origin !== undefined : site !== 'none';
  const withCookies = [cookies.access, cookies.refresh].some((name) => readCookie(cookie, name) !== undefined);
  if (withCookies || (isCrossSite && authorization === undefined)) throw new Problem('cross_site_request');
}
