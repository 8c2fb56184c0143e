import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IDToken } from 'openid-client';
import { generateSubject } from '../../identity/user-record.js';
import { reportDisplacedSessions } from '../flows/audit.js';
import { findCurrentSessionId } from '../flows/login.js';
import { providerLoginOf } from '../flows/sessions-from-provider.js';
import { Problem } from '../kit/problem.js';
import { requestSource } from '../kit/request-source.js';
import { deliverTokens } from '../kit/token-response.js';
import type { OidcServices } from './services.js';

/** Logs in the user that an account at a provider is linked to, and sets the cookies. */
export async function logInWithAccount(
  request: FastifyRequest,
  reply: FastifyReply,
  services: OidcServices,
  { provider, claims }: { provider: string; claims: IDToken },
): Promise<void> {
  const { sessions, users, providerSessions, cookies, report } = services;
  const { iss: issuer, auth_time: authTime, sid } = claims;
  const subject = await resolveSubject(services, { provider, claims });
  if (typeof sid === 'string') await providerSessions.save({ issuer, sid }, subject);
  const user = await users?.directory.get(subject);
  const supersedes = await findCurrentSessionId(subject, request, services);
  const tokens = await sessions.issue({
    identity: {
      subject,
      ...(user && { username: user.username }),
      ...toSessionDetails(provider, claims),
    },
    // Without `auth_time` the login counts as old. `start.ts` makes the provider send it, by `max_age`, but the user
    // can remove `max_age` from the URL.
    authenticatedAt: (authTime ?? 0) * 1000,
    origin: requestSource(request),
    ...(supersedes !== undefined && { supersedes }),
  });
  deliverTokens(reply, cookies, tokens, { transport: 'cookie' });
  report({ event: 'login', outcome: 'success', subject, sessionId: tokens.principal.sessionId, address: request.ip });
  reportDisplacedSessions(services, tokens, request.ip);
}

/**
 * Finds the subject that an account is linked to, by the `iss` and `sub` claims alone. An unknown account is linked to
 * a new subject.
 *
 * @throws {Problem} `registration_closed` if the account is unknown and registration is closed.
 */
async function resolveSubject(
  { links, registration }: OidcServices,
  { provider, claims: { iss: issuer, sub } }: { provider: string; claims: IDToken },
): Promise<string> {
  const account = { issuer, sub };
  const linked = await links.findSubject(account);
  if (linked !== undefined) return linked;
  if (registration === 'closed') throw new Problem('registration_closed');
  return links.link(account, generateSubject(), provider);
}

/** Returns the session's record of how the user logged in at the provider (OpenID Connect Core 1.0 section 2). */
export function toSessionDetails(provider: string, { amr, acr, sid }: Partial<IDToken>) {
  const methods = Array.isArray(amr) ? amr.map(String) : ['federated'];
  return { methods, data: { oidc: providerLoginOf({ oidc: { provider, sid, acr } }) } };
}
