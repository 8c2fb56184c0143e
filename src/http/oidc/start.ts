import { Type } from '@sinclair/typebox';
import {
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { requireUserSession } from '../flows/authenticate.js';
import { requireLocalPath, MAX_PATH_LENGTH } from '../kit/local-path.js';
import type { App } from '../kit/route.js';

import { requireFreshAuthentication } from '../flows/step-up.js';
import { begin } from './attempt.js';
import type { OidcServices } from './services.js';

export const Params = Type.Object({ provider: Type.String({ maxLength: 64 }) });
const Query = Type.Object(
  {
    to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })),
    link: Type.Optional(Type.Literal('1')),
    prompt: Type.Optional(Type.Literal('login')),
  },
  { additionalProperties: false },
);
export const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'Where the browser goes on' } },
});

/** Sends a browser to a provider to log in there or, with `link`, to link an account there to whoever is logged in. */
export function start(app: App, services: OidcServices): void {
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
      schema: { summary: 'Log in with a provider', params: Params, querystring: Query, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const { to = '/account', link, prompt } = request.query;
      const { provider: name } = request.params;
      const destination = requireLocalPath(to);
      // Another site that leads here begins nothing: whoever logs in says so on a page of ours (OWASP ASVS 5.0 7.6.2).
      if (request.headers['sec-fetch-site'] === 'cross-site') {
        return reply.redirect(`${services.loginPage}?${new URLSearchParams({ to: destination }).toString()}`, 303);
      }
      const discovered = await services.providers.find(name);
      const principal = link === undefined ? undefined : await requireUserSession(request, services);
      if (principal) await requireFreshAuthentication(request, principal, services);
      await services.throttle.admitProviderLogin(request.ip);

      const [state, nonce, verifier] = [randomState(), randomNonce(), randomPKCECodeVerifier()];
      const redirectUri = new URL(
        `${app.prefix}/oidc/${encodeURIComponent(name)}/callback`,
        originFor(request, services.origins),
      ).href;
      const url = buildAuthorizationUrl(discovered.configuration, {
        redirect_uri: redirectUri,
        scope: 'openid',
        state,
        nonce,
        code_challenge: await calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        // With a `max_age`, however long, a provider must tell when its user logged in (OpenID Connect Core 1.0 section 2).
        max_age: String(Math.floor(services.sessionLifetimeMs / 1000)),
        // An account is linked by whoever holds it now, not by a login there that somebody forgot.
        ...((principal ?? prompt) && { prompt: 'login' }),
      });
      await begin(request, reply, services, state, {
        provider: name,
        verifier,
        nonce,
        redirectUri,
        to: destination,
        ...(principal && { link: { subject: principal.subject, begunAt: await services.now() } }),
      });
      return reply.redirect(url.href, 303);
    },
  );
}

/** The origin that the browser is at, if it is ours; else the first of ours. */
export function originFor(
  { protocol, host }: { protocol: string; host: string },
  origins: ReadonlySet<string>,
): string {
  const asked = `${protocol}://${host}`;
  const [first = asked] = origins;
  return origins.has(asked) ? asked : first;
}
