import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Identity } from '../../sessions/session.js';
import { rejectClientSession, requireRecentAuthentication } from './guards.js';
import { challenge, readAccessToken, readRefreshToken } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import type { Services } from './services.js';

/** Which sessions of the user end: all, the one that asks, or all but that one. */
export type LogoutScope = 'all' | 'session' | 'others';

/**
 * Ends sessions of the user whose session asks, and takes the cookies back if it is among them.
 *
 * @param inBody a refresh token, when there is no cookie and the access token has expired.
 * @returns who asked.
 * @throws {Problem} `authentication_required` or `invalid_token`; `reauthentication_required` for a spent refresh token,
 *   which ends its session; `insufficient_user_authentication` for `others`; `insufficient_scope` for an OAuth client's session that would end others.
 */
export async function logout(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  { scope, inBody }: { scope: LogoutScope; inBody?: string | undefined },
): Promise<Identity> {
  const { sessions, cookies, report } = services;
  const asking = await authenticateForLogout(request, services, inBody);
  if (scope !== 'session') rejectClientSession(asking);
  const { subject, sessionId } = asking;
  // `all` ends the session that asks too, so a thief gains nothing by it, and whoever fears one must not wait.
  if (scope === 'others') await requireRecentAuthentication(request, asking, services);
  if (scope === 'session') await sessions.revoke(subject, sessionId, 'logged_out');
  else {
    const own = scope === 'all' ? ({ sessionId, reason: 'logged_out' } as const) : { sessionId };
    await sessions.revokeAll(subject, { reason: 'logged_out_elsewhere', own });
  }
  report({ event: 'logout', outcome: 'success', reason: scope, subject, sessionId, address: request.ip });
  if (scope === 'others') return asking;
  cookies.clear(reply);
  // Chromium stalls for seconds over it (crbug.com/40233601), and it alone sends this header.
  if (request.headers['sec-ch-ua'] === undefined) reply.header('clear-site-data', '"cache"');
  return asking;
}

/** The session that asks, by its access token, or by a refresh token that could still be refreshed with. */
async function authenticateForLogout(
  request: FastifyRequest,
  { sessions, cookies, report }: Services,
  inBody?: string,
) {
  const access = readAccessToken(request, cookies);
  const refresh = readRefreshToken(request, cookies, inBody);
  const principal = access && (await sessions.authenticate(access.token));
  if (principal) return principal;

  const token = refresh && sessions.parseRefreshToken(refresh.token);
  const session = token && (await sessions.inspectRefreshToken(token));
  if (!session) {
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
