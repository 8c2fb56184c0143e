import type { FastifyRequest } from 'fastify';
import type { IDToken } from 'openid-client';
import type { LinkRequest } from '../../federation/login-attempts.js';
import { requireUserSession } from '../flows/guards.js';
import { Problem } from '../kit/problem.js';
import type { OidcServices } from './services.js';

/** How far the provider's clock may be behind Redis's. */
const CLOCK_TOLERANCE_MS = 60_000;

/**
 * Links an account at a provider to the user who requested it.
 *
 * @throws {Problem} `provider_login_failed` with the reason `old_login` if the user's login at the provider predates
 *   the request, or `linked_to_another` if the account is linked to another user or another user is now logged in;
 *   and what {@link requireUserSession} throws if no user is logged in.
 */
export async function linkAccount(
  request: FastifyRequest,
  services: OidcServices,
  { provider, claims, link }: { provider: string; claims: IDToken; link: LinkRequest },
): Promise<void> {
  const { iss: issuer, sub, auth_time: authTime = 0 } = claims;
  const { subject } = await requireUserSession(request, services);
  // The browser could have removed `prompt` and `max_age` from the request, so only the time of the login counts.
  if (authTime * 1000 < link.begunAt - CLOCK_TOLERANCE_MS)
    throw new Problem('provider_login_failed', { reason: 'old_login' });
  if (subject !== link.subject) throw linkedToAnother();
  const linkedTo = await services.links.link({ issuer, sub }, subject, provider);
  if (linkedTo !== subject) throw linkedToAnother();
  services.report({ event: 'account_link', outcome: 'success', subject, address: request.ip });
}

function linkedToAnother(): Problem {
  return new Problem('provider_login_failed', { reason: 'linked_to_another' });
}
