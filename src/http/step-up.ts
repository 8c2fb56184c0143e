import type { FastifyRequest } from 'fastify';
import { challenge } from './credentials.js';
import { Problem } from './problem.js';
import type { Services } from './services.js';

/**
 * Lets through who has logged in recently enough, by Redis's clock (RFC 9470; OWASP ASVS 5.0 7.5.2).
 * Whoever is refused logs in again, which gives this device a new session; refreshing does not help.
 *
 * @throws {Problem} `insufficient_user_authentication`
 */
export async function requireRecentAuthentication(
  { ip: address }: FastifyRequest,
  { subject, sessionId, authenticatedAt }: { subject: string; sessionId: string; authenticatedAt: number },
  { recentAuthenticationMs, now, report }: Services,
): Promise<void> {
  if (recentAuthenticationMs === 0 || (await now()) - authenticatedAt <= recentAuthenticationMs) return;
  const reason = 'insufficient_user_authentication';
  report({ event: 'step_up', outcome: 'failure', reason, subject, sessionId, address });
  throw new Problem(reason, { headers: challenge(reason, { max_age: Math.floor(recentAuthenticationMs / 1000) }) });
}
