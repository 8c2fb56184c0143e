import type { FastifyRequest } from 'fastify';
import type { Identity, Principal } from '../../sessions/session.js';
import { challenge, readAccessToken } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import type { Services } from './services.js';

/**
 * Proves a request's access token and sets `request.principal`.
 *
 * @throws {Problem} `authentication_required` without a token, `invalid_token` with one that is of no use.
 */
export function authenticateRequest(request: FastifyRequest, { sessions, cookies }: Services): Promise<Principal> {
  const presented = readAccessToken(request, cookies);
  if (!presented) throw new Problem('authentication_required', { headers: challenge() });
  return sessions.authenticate(presented.token).then((principal) => {
    if (!principal) throw new Problem('invalid_token', { headers: challenge('invalid_token') });
    request.principal = principal;
    return principal;
  });
}

/**
 * As {@link authenticateRequest}, for what users do with their accounts: a session that was issued to an OAuth client may do
 * what its scope grants it, and this is nothing that a scope grants.
 *
 * @throws {Problem} `insufficient_scope` too.
 */
export async function requireUserSession(request: FastifyRequest, services: Services): Promise<Principal> {
  return rejectClientSession(await authenticateRequest(request, services));
}

/** @throws {Problem} `insufficient_scope` for a session that was issued to an OAuth client. */
export function rejectClientSession<T extends Identity>(asking: T): T {
  if (asking.client !== undefined)
    throw new Problem('insufficient_scope', { headers: challenge('insufficient_scope') });
  return asking;
}
