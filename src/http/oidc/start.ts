import { Type } from '@sinclair/typebox';
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
import { MAX_PATH_LENGTH, requireLocalPath } from '../kit/local-path.js';
import type { App } from '../kit/route.js';
import { createBinding, readBinding } from './browser-binding.js';
import type { OidcServices } from './services.js';
import { ProviderParams, publicOriginOf, Redirect, requireProvider } from './shared.js';

const Query = Type.Object(
  {
    to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })),
    link: Type.Optional(Type.Literal('1')),
    prompt: Type.Optional(Type.Literal('login')),
  },
  { additionalProperties: false },
);

/**
 * Adds the route that redirects the browser to a provider to log in or, with `link`, to link a provider account to the
 * current user (OpenID Connect Core 1.0 section 3.1.2.1).
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
      const { to = '/account', link, prompt } = request.query;
      const returnTo = requireLocalPath(to);
      // Another site must not start a login; the user has to start it on our login page (OWASP ASVS 5.0 7.6.2).
      if (request.headers['sec-fetch-site'] === 'cross-site')
        return reply.redirect(`${loginPage}?${new URLSearchParams({ to: returnTo }).toString()}`, 303);

      const { configuration } = await requireProvider(providers, name);
      let linkTo: Principal | undefined;
      if (link !== undefined) {
        linkTo = await requireUserSession(request, services);
        await requireFreshAuthentication(request, linkTo, services);
      }
      await throttle.admitProviderLogin(request.ip);

      const callbackPath = `${app.prefix}/oidc/${encodeURIComponent(name)}/callback`;
      const redirectUri = new URL(callbackPath, publicOriginOf(request, origins)).href;
      const state = randomState();
      const nonce = randomNonce();
      const verifier = randomPKCECodeVerifier();
      const url = await buildLoginUrl(configuration, {
        redirectUri,
        state,
        nonce,
        verifier,
        maxAgeMs: services.sessionLifetimeMs,
        // Linking requires a new login at the provider; an existing session there is not enough.
        forceLogin: linkTo !== undefined || prompt !== undefined,
      });

      const binding = readBinding(request, cookies) ?? createBinding();
      await loginAttempts.begin(state, binding, {
        provider: name,
        verifier,
        nonce,
        redirectUri,
        to: returnTo,
        ...(linkTo && { link: { subject: linkTo.subject, begunAt: await services.now() } }),
      });
      cookies.setLoginBinding(reply, binding, LOGIN_ATTEMPT_LIFETIME_MS);
      return reply.redirect(url.href, 303);
    },
  );
}

interface LoginUrl {
  readonly redirectUri: string;
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly maxAgeMs: number;
  readonly forceLogin: boolean;
}

async function buildLoginUrl(
  configuration: Configuration,
  { redirectUri, state, nonce, verifier, maxAgeMs, forceLogin }: LoginUrl,
): Promise<URL> {
  return buildAuthorizationUrl(configuration, {
    redirect_uri: redirectUri,
    scope: 'openid',
    state,
    nonce,
    code_challenge: await calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    // Sending `max_age` makes the provider return `auth_time` (OpenID Connect Core 1.0 section 2).
    max_age: String(Math.floor(maxAgeMs / 1000)),
    ...(forceLogin && { prompt: 'login' }),
  });
}
