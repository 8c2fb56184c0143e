import { Type } from '@sinclair/typebox';
import { randomBytes } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { authorizationCodeGrant, type IDToken } from 'openid-client';
import { requireUserSession } from '../flows/authenticate.js';
import { requestSource } from '../kit/device.js';
import { toProblem } from '../kit/error-handler.js';
import { findCurrentSessionId } from '../flows/login.js';
import { Problem } from '../kit/problem.js';
import { providerLoginOf } from '../flows/provider-login.js';
import { reportDisplacedSessions } from '../flows/audit.js';
import type { App } from '../kit/route.js';
import { deliverTokens } from '../kit/token-response.js';
import { type Attempt, take } from './attempt.js';
import type { OidcServices } from './services.js';
import type { Discovered } from './providers.js';
import { remember } from './session-there.js';
import { Params, Redirect } from './start.js';

/** By which a provider's clock may be behind ours. */
const CLOCK_TOLERANCE_MS = 60_000;

const Query = Type.Object({ state: Type.String({ maxLength: 512 }) }, { additionalProperties: Type.Unknown() });

/** Where a provider sends the browser back to: begins a session, or links the account. A browser that fails is told on the login page. */
export function callback(app: App, services: OidcServices): void {
  const { providers, loginPage, cookies, report } = services;
  app.get(
    '/oidc/:provider/callback',
    {
      config: { needs: 'nothing', fails: ['not_found'] },
      schema: { summary: 'Come back from a provider', params: Params, querystring: Query, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const discovered = await providers.find(request.params.provider);
      let attempt: Attempt | undefined;
      try {
        attempt = await take(request, services, request.query.state, discovered.provider.name);
        if (!attempt) throw new Problem('provider_login_failed', { reason: 'unknown_state' });
        const claims = await claimsOf(request, discovered, attempt, request.query.state);
        const subject = await subjectOf(request, services, attempt, claims, discovered.provider.name);
        if (attempt.link === undefined) await logInAs(request, reply, subject, discovered, claims);
        else report({ event: 'account_link', outcome: 'success', subject, address: request.ip });
        return reply.redirect(attempt.to, 303);
      } catch (error) {
        const problem = toProblem(error);
        if (problem.status >= 500) throw error;
        const { reason = problem.code } = problem.extensions as { reason?: string };
        const attempted =
          attempt?.link === undefined
            ? ({ event: 'login' } as const)
            : ({ event: 'account_link', subject: attempt.link.subject } as const);
        report({ ...attempted, outcome: 'failure', reason, address: request.ip });
        const query = new URLSearchParams({
          reason: problem.code,
          ...(attempt && attempt.link === undefined && { to: attempt.to }),
        });
        return reply.redirect(`${loginPage}?${query.toString()}`, 303);
      }
    },
  );

  async function logInAs(
    request: FastifyRequest,
    reply: FastifyReply,
    subject: string,
    { provider }: Discovered,
    claims: IDToken,
  ): Promise<void> {
    const { iss: issuer, auth_time: authTime, sid } = claims;
    if (typeof sid === 'string') await remember({ issuer, sid }, subject, services);
    const user = await services.users?.get(subject);
    const supersedes = await findCurrentSessionId(subject, request, services);
    const tokens = await services.sessions.issue({
      identity: {
        subject,
        ...(user && { username: user.username }),
        ...attested(provider.name, claims),
      },
      // A time that is not told counts as long ago: what was asked of the provider went through hands that can change it.
      authenticatedAt: (authTime ?? 0) * 1000,
      origin: requestSource(request),
      ...(supersedes !== undefined && { supersedes }),
    });
    deliverTokens(reply, cookies, tokens, { transport: 'cookie' });
    report({ event: 'login', outcome: 'success', subject, sessionId: tokens.principal.sessionId, address: request.ip });
    reportDisplacedSessions(services, tokens, request.ip);
  }
}

/** What the ID token says, once all of it was checked (OpenID Connect Core 1.0 section 3.1.3.7, RFC 9207, RFC 7636). */
async function claimsOf(
  request: FastifyRequest,
  { configuration }: Discovered,
  attempt: Attempt,
  state: string,
): Promise<IDToken> {
  const url = new URL(attempt.redirectUri);
  url.search = new URL(request.url, url).search;
  try {
    const answer = await authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: attempt.verifier,
      expectedState: state,
      expectedNonce: attempt.nonce,
      idTokenExpected: true,
    });
    return answer.claims()!;
  } catch (error) {
    throw new Problem('provider_login_failed', { cause: error, reason: 'refused_answer' });
  }
}

/** The subject that an account belongs to: the one that it is linked to, by issuer and subject alone. */
async function subjectOf(
  request: FastifyRequest,
  services: OidcServices,
  { link }: Attempt,
  { iss: issuer, sub, auth_time: authTime = 0 }: IDToken,
  provider: string,
): Promise<string> {
  const { links, registration } = services;
  const account = { issuer, sub };
  if (link !== undefined) {
    const { subject } = await requireUserSession(request, services);
    // Its holder has logged in there for this, whatever became of what was asked for on the way.
    if (authTime * 1000 < link.begunAt - CLOCK_TOLERANCE_MS)
      throw new Problem('provider_login_failed', { reason: 'old_login' });
    if (subject !== link.subject || (await links.link(account, subject, provider)) !== subject) {
      throw new Problem('provider_login_failed', { reason: 'linked_to_another' });
    }
    return subject;
  }
  const linked = await links.get(account);
  if (linked !== undefined) return linked;
  if (registration === 'closed') throw new Problem('registration_closed');
  return links.link(account, randomBytes(16).toString('base64url'), provider);
}

/** What a provider says of how its user logged in (OpenID Connect Core 1.0, section 2), as a session keeps it. */
export function attested(provider: string, { amr, acr, sid }: Partial<IDToken>) {
  const methods = Array.isArray(amr) ? amr.map(String) : ['federated'];
  return { methods, data: { oidc: providerLoginOf({ oidc: { provider, sid, acr } }) } };
}
