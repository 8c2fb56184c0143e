import { Type } from '@sinclair/typebox';
import { buildEndSessionUrl } from 'openid-client';
import { MAX_PATH_LENGTH } from '../kit/local-path.js';
import type { App } from '../kit/route.js';
import type { OidcServices } from './services.js';
import { ProviderParams, publicOriginOf, Redirect, requireProvider } from './shared.js';

const Query = Type.Object(
  {
    sid: Type.Optional(
      Type.String({
        maxLength: MAX_PATH_LENGTH,
        description: "The id of the provider's session: `oidc.sid` in the data of the session that has ended",
      }),
    ),
  },
  { additionalProperties: false },
);

/**
 * Adds the route that redirects a logged-out browser to the provider's logout, which returns it to the login page
 * (OpenID Connect RP-Initiated Logout 1.0).
 */
export function addLogoutRoute(app: App, { providers, origins, loginPage }: OidcServices): void {
  app.get(
    '/oidc/:provider/logout',
    {
      config: { needs: 'nothing', fails: ['not_found'] },
      schema: {
        summary: 'Log out at a provider',
        params: ProviderParams,
        querystring: Query,
        response: { 303: Redirect },
      },
    },
    async (request, reply) => {
      const { sid } = request.query;
      const { configuration } = await requireProvider(providers, request.params.provider);
      if (configuration.serverMetadata().end_session_endpoint === undefined) return reply.redirect(loginPage, 303);
      const url = buildEndSessionUrl(configuration, {
        post_logout_redirect_uri: new URL(loginPage, publicOriginOf(request, origins)).href,
        ...(sid !== undefined && { logout_hint: sid }),
      });
      return reply.redirect(url.href, 303);
    },
  );
}
