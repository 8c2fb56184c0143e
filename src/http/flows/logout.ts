import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Identity } from '../../sessions/session.js';
import { challenge, readAccessToken, readRefreshToken } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { rejectClientSession, requireRecentAuthentication } from './guards.js';
import type { Services } from './services.js';

/** Which of the user's sessions to end: all, the current one, or all others. */
export type LogoutScope = 'all' | 'session' | 'others';

/**
 * Ends sessions of the user, and clears the cookies if the current session is one of them.
 *
 * @param options.bodyToken the refresh token in the request body, for a client that has no cookie and whose access
 *   token has expired.
 * @returns the identity of the current session.
 * @throws {Problem} `authentication_required` or `invalid_token`; `reauthentication_required` for a reused refresh
 *   token, which ends its session; `insufficient_user_authentication` for `others` if the login is too old;
 *   `insufficient_scope` if a session of an OAuth client would end other sessions.
 */
export async function logout(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  { scope, bodyToken }: { scope: LogoutScope; bodyToken?: string | undefined },
): Promise<Identity> {
  const { sessions, cookies, report } = services;
  const requester = await authenticateForLogout(request, services, bodyToken);
  if (scope !== 'session') rejectClientSession(requester);
  const { subject, sessionId } = requester;
  // `all` requires no recent login: it ends the current session too, so an attacker gains nothing from it, and a user
  // whose session was stolen can end it at once.
  if (scope === 'others') await requireRecentAuthentication(request, requester, services);
  if (scope === 'session') await sessions.revoke(subject, sessionId, 'logged_out');
  else {
    const own = scope === 'all' ? ({ sessionId, reason: 'logged_out' } as const) : { sessionId };
    await sessions.revokeAll(subject, { reason: 'logged_out_elsewhere', own });
  }
  report({ event: 'logout', outcome: 'success', reason: scope, subject, sessionId, address: request.ip });
  if (scope === 'others') return requester;
  cookies.clearTokens(reply);
  // Clear-Site-Data stalls Chromium for seconds (crbug.com/40233601); only Chromium sends `Sec-CH-UA`.
  if (request.headers['sec-ch-ua'] === undefined) reply.header('clear-site-data', '"cache"');
  return requester;
}

/** Finds the current session by its access token, or else by a refresh token that is still valid. */
async function authenticateForLogout(
  request: FastifyRequest,
  { sessions, cookies, report }: Services,
  bodyToken?: string,
) {
  const access = readAccessToken(request, cookies);
  const refresh = readRefreshToken(request, cookies, bodyToken);
  const principal = access && (await sessions.authenticate(access.token));
  if (principal) return principal;

  const token = refresh && sessions.parseRefreshToken(refresh.token);
  const session = token && (await sessions.inspectRefreshToken(token));
  if (!session) {
    // An earlier attempt may have ended the session and failed while it waited for replicas.
    for (const presented of [access, refresh]) if (presented) await sessions.awaitRevocations(presented.token);
    throw access || refresh
      ? new Problem('invalid_token', { headers: challenge('invalid_token') })
      : new Problem('authentication_required', { headers: challenge() });
  }
  const { subject, status } = session;
  const { sessionId } = token;
  if (status === 'active') return { ...session, sessionId };
  await sessions.revokeByToken(token, 'reused');
  report({ event: 'logout', outcome: 'failure', reason: 'reused', subject, sessionId, address: request.ip });
  throw new Problem('reauthentication_required', { reason: 'reused' });
}
