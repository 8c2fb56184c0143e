import type { FastifyRequest } from 'fastify';
import { readCookie, type TokenCookies } from './cookies.js';
import { Problem } from './problem.js';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses a state-changing request that another site makes, a forged login included (OWASP ASVS 5.0 V3.5).
 *
 * With our cookies, a request must show that it comes from one of `origins`. Without, it must not show the contrary;
 * with neither `Sec-Fetch-Site` nor `Origin` it is no browser's. `Authorization` cannot be added across sites
 * without leave, so it is proof enough where no cookie of ours is there.
 *
 * @throws {Problem} `cross_site_request`
 */
export function requireSameOrigin(
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
