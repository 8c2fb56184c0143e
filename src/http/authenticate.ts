import type { FastifyRequest } from 'fastify';
import type { Principal } from '../sessions/session.js';
import { challenge, presentedAccessToken } from './credentials.js';
import { Problem } from './problem.js';
import type { Services } from './services.js';

/**
 * Proves a request's access token and sets `request.principal`.
 *
 * @throws {Problem} `authentication_required` without a token, `invalid_token` with one that is of no use.
 */
export function requirePrincipal(request: FastifyRequest, { sessions, cookies }: Services): Promise<Principal> {
  const presented = presentedAccessToken(request, cookies);
  if (!presented) throw new Problem('authentication_required', { headers: challenge() });
  return sessions.authenticate(presented.token).then((principal) => {
    if (!principal) throw new Problem('invalid_token', { headers: challenge('invalid_token') });
    request.principal = principal;
    return principal;
  });
}
