import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../sessions/session.js';
import { refreshTokens } from '../flows/refresh.js';
import type { Services } from '../flows/services.js';
import { readAccessToken } from '../kit/presented-tokens.js';
import type { Problem } from '../kit/problem.js';
import { deliverTokens } from '../kit/token-response.js';
import { ACCOUNT_PATH, type PagesOptions } from './context.js';

/** Finds who is logged in, by the access token; sessions of OAuth clients do not count here. */
export async function findCurrentUser(
  request: FastifyRequest,
  { sessions, cookies }: Services,
): Promise<Principal | undefined> {
  const presented = readAccessToken(request, cookies);
  const principal = presented && (await sessions.authenticate(presented.token));
  return principal?.client === undefined ? principal : undefined;
}

/**
 * Finds who posted a form: by the access token or, so that an expired one does not lose the user's input, by the
 * refresh token, which renews the session.
 *
 * @throws {Problem} `reauthentication_required`
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

/** Redirects to the login page, which shows the reason, and from there to a local path. */
export function redirectToLogin(
  reply: FastifyReply,
  { loginPage }: Services,
  reason: string,
  to = ACCOUNT_PATH,
): FastifyReply {
  return reply.redirect(`${loginPage}?${new URLSearchParams({ reason, to }).toString()}`, 303);
}

/** Redirects to a local path by way of `/auth/continue`, which renews the session or leads to the login page. */
export function redirectToContinue(reply: FastifyReply, { authPrefix }: PagesOptions, to: string): FastifyReply {
  return reply.redirect(`${authPrefix}/continue?${new URLSearchParams({ to }).toString()}`, 303);
}

/** Redirects whoever must authenticate first, and then on to a local path; undefined for any other problem. */
export function redirectToAuthenticate(
  reply: FastifyReply,
  options: PagesOptions,
  { code, extensions }: Problem,
  to = ACCOUNT_PATH,
): FastifyReply | undefined {
  switch (code) {
    case 'reauthentication_required':
      return redirectToLogin(reply, options.services, String(extensions.reason), to);
    case 'insufficient_user_authentication':
      return redirectToLogin(reply, options.services, code, to);
    case 'authentication_required':
    case 'invalid_token':
      return redirectToContinue(reply, options, to);
    default:
      return undefined;
  }
}
