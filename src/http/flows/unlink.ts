import type { FastifyRequest } from 'fastify';
import type { Links } from '../../federation/links.js';
import type { Principal } from '../../sessions/session.js';
import { Problem } from '../kit/problem.js';
import { endSessionsBegunAt } from './provider-login.js';
import type { Services } from './services.js';

/**
 * Takes an account at a provider from a user, and ends the other sessions that began with that provider.
 *
 * @throws {Problem} `not_found`; `last_login_method` where nothing else would be left to log in with.
 */
export async function unlink(
  { ip: address }: FastifyRequest,
  services: Services,
  links: Links,
  { principal: { subject, sessionId }, id }: { principal: Principal; id: string },
): Promise<void> {
  const linked = await links.list(subject);
  const link = linked.find((each) => each.id === id);
  if (!link) throw new Problem('not_found');
  // A host application has its own way in.
  const hasPassword = !services.users || (await services.users.get(subject)) !== undefined;
  if (linked.length === 1 && !hasPassword) throw new Problem('last_login_method');
  await links.unlink(subject, id);
  services.report({ event: 'account_unlink', outcome: 'success', subject, sessionId, address });
  await endSessionsBegunAt(link.provider, subject, services, {
    reason: 'logged_out_elsewhere',
    spared: sessionId,
    address,
  });
}
