import type { FastifyRequest } from 'fastify';
import type { AccountLinks } from '../../federation/links.js';
import type { Principal } from '../../sessions/session.js';
import { Problem } from '../kit/problem.js';
import type { Services } from './services.js';
import { endSessionsFromProvider } from './sessions-from-provider.js';

/**
 * Unlinks a provider account from a user, and ends the user's other sessions that were started with that provider.
 *
 * @param id the link's id, from {@link AccountLinks.list}.
 * @throws {Problem} `not_found` if the user has no such link; `last_login_method` if it is the only way to log in.
 */
export async function unlinkAccount(
  { ip: address }: FastifyRequest,
  services: Services,
  links: AccountLinks,
  { principal: { subject, sessionId }, id }: { principal: Principal; id: string },
): Promise<void> {
  const linked = await links.list(subject);
  const link = linked.find((each) => each.id === id);
  if (!link) throw new Problem('not_found');
  // A host application always has its own way to log in.
  const hasPassword = !services.users || (await services.users.directory.get(subject)) !== undefined;
  if (linked.length === 1 && !hasPassword) throw new Problem('last_login_method');
  await links.unlink(subject, id);
  services.report({ event: 'account_unlink', outcome: 'success', subject, sessionId, address });
  await endSessionsFromProvider(link.provider, subject, services, {
    reason: 'logged_out_elsewhere',
    exceptSessionId: sessionId,
    address,
  });
}
