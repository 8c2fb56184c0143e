import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import {
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  type Configuration,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { LOGIN_ATTEMPT_LIFETIME_MS } from '../../federation/login-attempts.js';
import type { Principal } from '../../sessions/session.js';
import { requireFreshAuthentication, requireUserSession } from '../flows/guards.js';
import { requireLocalPath, MAX_PATH_LENGTH } from '../kit/local-path.js';
import type { App } from '../kit/route.js';
import { createBinding, readBinding } from './browser-binding.js';
import { ProviderParams, publicOriginOf, Redirect, requireProvider } from './shared.js';
import type { OidcServices } from './services.js';

const Query = Type.Object(
  {
    to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })),
    link: Type.Optional(Type.Literal('1')),
    prompt: Type.Optional(Type.Literal('login')),
  },
  { additionalProperties: false },
);

/**
 * Sends a browser to a provider with an authorization request (OpenID Connect Core 1.0 section 3.1.2.1): to log in
 * there or, with `link`, to link an account there to the user who is logged in here.
 */
export function addStartRoute(app: App, services: OidcServices): void {
  const { providers, throttle, loginAttempts, cookies, origins, loginPage } = services;
  app.get(
    '/oidc/:provider',
    {
      config: {
        needs: 'nothing',
        fails: [
          'not_found',
          'authentication_required',
          'invalid_token',
          'insufficient_scope',
          'insufficient_user_authentication',
          'too_many_requests',
        ],
      },
      schema: {
        summary: 'Log in with a provider',
        params: ProviderParams,
        querystring: Query,
        response: { 303: Redirect },
      },
    },
    async (request, reply) => {
      const { provider: name } = request.params;
      const { to: path = '/account', link, prompt } = request.query;
      const to = requireLocalPath(path);
      // Another site cannot begin a login: the user has to ask for it on a page of ours (OWASP ASVS 5.0 7.6.2).
      if (request.headers['sec-fetch-site'] === 'cross-site')
        return reply.redirect(`${loginPage}?${new URLSearchParams({ to }).toString()}`, 303);

      const { configuration } = await requireProvider(providers, name);
      const linkTo = link === undefined ? undefined : await requireFreshUser(request, services);
      await throttle.admitProviderLogin(request.ip);

      const callbackPath = `${app.prefix}/oidc/${encodeURIComponent(name)}/callback`;
      const redirectUri = new URL(callbackPath, publicOriginOf(request, origins)).href;
      const [state, nonce, verifier] = [randomState(), randomNonce(), randomPKCECodeVerifier()];
      const url = await buildLoginUrl(configuration, {
        ...{ redirectUri, state, nonce, verifier },
        maxAgeMs: services.sessionLifetimeMs,
        // Linking takes a login of its own: a session that somebody left open at the provider must not be enough.
        forceLogin: linkTo !== undefined || prompt !== undefined,
      });

      const binding = readBinding(request, cookies) ?? createBinding();
      await loginAttempts.begin(state, binding, {
        ...{ provider: name, verifier, nonce, redirectUri, to },
        ...(linkTo && { link: { subject: linkTo.subject, begunAt: await services.now() } }),
      });
      cookies.setLoginBinding(reply, binding, LOGIN_ATTEMPT_LIFETIME_MS);
      return reply.redirect(url.href, 303);
    },
  );
}

async function requireFreshUser(request: FastifyRequest, services: OidcServices): Promise<Principal> {
  const principal = await requireUserSession(request, services);
  await requireFreshAuthentication(request, principal, services);
  return principal;
}

interface AuthorizationRequest {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly maxAgeMs: number;
  readonly forceLogin: boolean;
}

async function buildLoginUrl(
  configuration: Configuration,
  { redirectUri, state, nonce, verifier, maxAgeMs, forceLogin }: AuthorizationRequest,
): Promise<URL> {
  return buildAuthorizationUrl(configuration, {
    redirect_uri: redirectUri,
    scope: 'openid',
    state,
    nonce,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // Any `max_age` obliges the provider to state `auth_time` (OpenID Connect Core 1.0 section 2).
    max_age: String(Math.floor(maxAgeMs / 1000)),
    ...(forceLogin && { prompt: 'login' }),
  });
}
