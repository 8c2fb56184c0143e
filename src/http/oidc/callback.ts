import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { authorizationCodeGrant, type IDToken } from 'openid-client';
import type { LoginAttempt } from '../../federation/login-attempts.js';
import type { DiscoveredProvider } from '../../federation/providers.js';
import { toProblem } from '../kit/error-handler.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { readBinding } from './browser-binding.js';
import { linkAccount } from './link-account.js';
import { logInWithAccount } from './login-with-provider.js';
import type { OidcServices } from './services.js';
import { ProviderParams, Redirect, requireProvider } from './shared.js';

const Query = Type.Object({ state: Type.String({ maxLength: 512 }) }, { additionalProperties: Type.Unknown() });

/**
 * Adds the route that a provider redirects the browser to (OpenID Connect Core 1.0 section 3.1.2.5). It issues a
 * session or links the account. If that fails, it redirects to the login page with the code of the problem as
 * `reason`, except after server errors.
 */
export function addCallbackRoute(app: App, services: OidcServices): void {
  app.get(
    '/oidc/:provider/callback',
    {
      config: { needs: 'nothing', fails: ['not_found'] },
      schema: {
        summary: 'Handle the redirect from a provider',
        params: ProviderParams,
        querystring: Query,
        response: { 303: Redirect },
      },
    },
    async (request, reply) => {
      const { state } = request.query;
      const discovered = await requireProvider(services.providers, request.params.provider);
      const providerName = discovered.provider.name;
      let attempt: LoginAttempt | undefined;
      try {
        attempt = await services.loginAttempts.consume(state, {
          provider: providerName,
          binding: readBinding(request, services.cookies),
        });
        if (!attempt) throw new Problem('provider_login_failed', { reason: 'unknown_state' });
        const claims = await exchangeCode(request, discovered, attempt, state);
        if (attempt.link) await linkAccount(request, services, { provider: providerName, claims, link: attempt.link });
        else await logInWithAccount(request, reply, services, { provider: providerName, claims });
        return reply.redirect(attempt.to, 303);
      } catch (error) {
        return handleFailedAttempt(request, reply, services, { error, attempt });
      }
    },
  );
}

/**
 * Exchanges the code for an ID token and validates it (OpenID Connect Core 1.0 section 3.1.3.7, RFC 9207, RFC 7636).
 */
async function exchangeCode(
  request: FastifyRequest,
  { configuration }: DiscoveredProvider,
  { redirectUri, verifier, nonce }: LoginAttempt,
  state: string,
): Promise<IDToken> {
  const url = new URL(redirectUri);
  url.search = new URL(request.url, url).search;
  try {
    const tokens = await authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      idTokenExpected: true,
    });
    return tokens.claims()!;
  } catch (error) {
    throw new Problem('provider_login_failed', { cause: error, reason: 'refused_answer' });
  }
}

/**
 * Reports why an attempt failed, and redirects to the login page with the code of the problem as `reason`. Rethrows
 * server errors.
 */
function handleFailedAttempt(
  request: FastifyRequest,
  reply: FastifyReply,
  { loginPage, report }: OidcServices,
  { error, attempt }: { error: unknown; attempt: LoginAttempt | undefined },
): FastifyReply {
  const problem = toProblem(error);
  if (problem.status >= 500) throw error;
  const { reason = problem.code } = problem.extensions as { reason?: string };
  const attempted = attempt?.link
    ? ({ event: 'account_link', subject: attempt.link.subject } as const)
    : ({ event: 'login' } as const);
  report({ ...attempted, outcome: 'failure', reason, address: request.ip });
  const query = new URLSearchParams({
    reason: problem.code,
    ...(attempt && !attempt.link && { to: attempt.to }),
  });
  return reply.redirect(`${loginPage}?${query.toString()}`, 303);
}
