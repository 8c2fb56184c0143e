import type { FastifyRequest } from 'fastify';
import { readCookie, type TokenCookies } from './cookies.js';
import { Problem } from './problem.js';

/**
 * How a client exchanges its tokens: in cookies, or else it sends the access token in the `Authorization` header and
 * the refresh token in the body, and receives both in the body.
 */
export type Transport = 'cookie' | 'bearer';

/** A token from a request, not yet verified. */
export interface PresentedToken {
  readonly token: string;
  readonly transport: Transport;
}

/**
 * Reads a request's access token from `Authorization: Bearer` (RFC 6750 section 2.1) or the cookie.
 *
 * @throws {Problem} `ambiguous_credentials` if the request has both; `invalid_request` if a Bearer header does not
 *   contain exactly one token.
 */
export function readAccessToken({ headers }: FastifyRequest, cookies: TokenCookies): PresentedToken | undefined {
  const cookie = readCookie(headers.cookie, cookies.access);
  const { authorization } = headers;
  if (authorization === undefined || !/^bearer(?: |$)/i.test(authorization)) {
    return cookie === undefined ? undefined : { token: cookie, transport: 'cookie' };
  }
  if (cookie !== undefined) throw new Problem('ambiguous_credentials');
  const token = parseBearer(authorization);
  if (token === undefined) {
    throw new Problem('invalid_request', {
      detail: 'The Authorization header must be "Bearer", a space and the access token.',
      headers: challenge('invalid_request'),
    });
  }
  return { token, transport: 'bearer' };
}

/** Returns the token of a Bearer header (RFC 6750 section 2.1); undefined unless there is exactly one. */
export function parseBearer(authorization: string | undefined): string | undefined {
  return /^bearer +([^ ]+) *$/i.exec(authorization ?? '')?.[1];
}

/**
 * Reads a request's refresh token from the body or the cookie.
 *
 * @param bodyToken the refresh token in the request body, if any.
 * @throws {Problem} `ambiguous_credentials` if the request has both.
 */
export function readRefreshToken(
  { headers }: FastifyRequest,
  cookies: TokenCookies,
  bodyToken?: string,
): PresentedToken | undefined {
  const cookie = readCookie(headers.cookie, cookies.refresh);
  if (bodyToken !== undefined) {
    if (cookie !== undefined) throw new Problem('ambiguous_credentials');
    return { token: bodyToken, transport: 'bearer' };
  }
  return cookie === undefined ? undefined : { token: cookie, transport: 'cookie' };
}

/** Builds the `WWW-Authenticate` header (RFC 6750 section 3; `max_age` is in seconds, RFC 9470 section 3). */
export function challenge(
  error?: 'invalid_request' | 'invalid_token' | 'insufficient_scope' | 'insufficient_user_authentication',
  extra: { max_age?: number; scope?: string } = {},
): { 'www-authenticate': string } {
  const parameters = Object.entries({ realm: 'latchkey', ...(error && { error }), ...extra });
  return { 'www-authenticate': `Bearer ${parameters.map(([name, value]) => `${name}="${value}"`).join(', ')}` };
}
