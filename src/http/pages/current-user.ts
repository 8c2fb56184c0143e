import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../sessions/session.js';
import { refreshTokens } from '../flows/refresh.js';
import type { Services } from '../flows/services.js';
import { readAccessToken } from '../kit/presented-tokens.js';
import type { Problem } from '../kit/problem.js';
import { deliverTokens } from '../kit/token-response.js';
import { ACCOUNT_PATH, type PagesOptions } from './context.js';

/** Finds the logged-in user by the access token. Ignores sessions of OAuth clients. */
export async function findCurrentUser(
  request: FastifyRequest,
  { sessions, cookies }: Services,
): Promise<Principal | undefined> {
  const presented = readAccessToken(request, cookies);
  const principal = presented && (await sessions.authenticate(presented.token));
  return principal?.client === undefined ? principal : undefined;
}

/**
 * Identifies the user who submitted a form. If the access token has expired, refreshes the session, so that the user's
 * input is not lost.
 *
 * @throws {Problem} `reauthentication_required` if neither token is valid.
 */
export async function requireCurrentUser(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
): Promise<Principal> {
  const user = await findCurrentUser(request, services);
  if (user) return user;
  const { tokens, transport, keepsRefreshToken } = await refreshTokens(request, services);
  deliverTokens(reply, services.cookies, tokens, { transport, keepsRefreshToken });
  return tokens.principal;
}

/** Redirects to the login page, which shows the reason and returns to `returnTo` after the login. */
export function redirectToLogin(
  reply: FastifyReply,
  { loginPage }: Services,
  reason: string,
  returnTo = ACCOUNT_PATH,
): FastifyReply {
  return reply.redirect(`${loginPage}?${new URLSearchParams({ reason, to: returnTo }).toString()}`, 303);
}

/** Redirects to `/auth/continue`, which refreshes the session and redirects to `returnTo`, or to the login page. */
export function redirectToContinue(reply: FastifyReply, { authPrefix }: PagesOptions, returnTo: string): FastifyReply {
  return reply.redirect(`${authPrefix}/continue?${new URLSearchParams({ to: returnTo }).toString()}`, 303);
}

/**
 * Redirects to the login page or to `/auth/continue`, and from there to `returnTo`, if that can resolve the problem.
 *
 * @returns undefined if it cannot.
 */
export function redirectToAuthenticate(
  reply: FastifyReply,
  options: PagesOptions,
  { code, extensions }: Problem,
  returnTo = ACCOUNT_PATH,
): FastifyReply | undefined {
  switch (code) {
    case 'reauthentication_required':
      return redirectToLogin(reply, options.services, String(extensions.reason), returnTo);
    case 'insufficient_user_authentication':
      return redirectToLogin(reply, options.services, code, returnTo);
    case 'authentication_required':
    case 'invalid_token':
      return redirectToContinue(reply, options, returnTo);
    default:
      return undefined;
  }
}
