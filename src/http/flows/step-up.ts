import type { FastifyRequest } from 'fastify';
import type { Principal } from '../../sessions/session.js';
import { challenge } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import type { Services } from './services.js';

type Asking = Pick<Principal, 'subject' | 'sessionId' | 'authenticatedAt'>;

/** How long ago a login may be where the ways to log in change: it is asked for on purpose, as good as each time. */
const FRESH_AUTHENTICATION_MS = 2 * 60_000;

/**
 * As {@link requireRecentAuthentication}, for what changes how a user can log in (OWASP ASVS 5.0 7.5.1).
 *
 * @throws {Problem} `insufficient_user_authentication`
 */
export function requireFreshAuthentication(request: FastifyRequest, asking: Asking, services: Services): Promise<void> {
  return requireRecentAuthentication(request, asking, {
    ...services,
    recentAuthenticationMs: Math.min(services.recentAuthenticationMs, FRESH_AUTHENTICATION_MS),
  });
}

/**
 * Lets through who has logged in recently enough, by Redis's clock (RFC 9470; OWASP ASVS 5.0 7.5.2).
 * Whoever is refused logs in again, which gives this device a new session; refreshing does not help.
 *
 * @throws {Problem} `insufficient_user_authentication`
 */
export async function requireRecentAuthentication(
  { ip: address }: FastifyRequest,
  { subject, sessionId, authenticatedAt }: Asking,
  { recentAuthenticationMs, now, report }: Services,
): Promise<void> {
  if (recentAuthenticationMs === 0 || (await now()) - authenticatedAt <= recentAuthenticationMs) return;
  const reason = 'insufficient_user_authentication';
  report({ event: 'step_up', outcome: 'failure', reason, subject, sessionId, address });
  throw new Problem(reason, { headers: challenge(reason, { max_age: Math.floor(recentAuthenticationMs / 1000) }) });
}
