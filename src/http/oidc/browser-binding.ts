import { randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { readCookie, type TokenCookies } from '../kit/cookies.js';

const BINDING = /^[\w-]{43}$/;

/** Creates a random secret that is stored in a cookie and binds login attempts to the browser. */
export function createBinding(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * Reads the binding secret of a browser from its cookie.
 *
 * @throws {Problem} `ambiguous_credentials` if the cookie occurs more than once.
 */
export function readBinding({ headers }: FastifyRequest, cookies: TokenCookies): string | undefined {
  const binding = readCookie(headers.cookie, cookies.loginBinding);
  return binding !== undefined && BINDING.test(binding) ? binding : undefined;
}
