import { buildEndSessionUrl } from 'openid-client';
import { Problem } from '../problem.js';
import type { App } from '../route.js';
import type { OidcServices } from './index.js';
import { originFor, Params, Redirect } from './start.js';

/** Sends a browser that has logged out here to log out at the provider too, and from there back to the login page (OpenID Connect RP-Initiated Logout 1.0). */
export function logout(app: App, { providers, origins, loginPage }: OidcServices): void {
  app.get(
    '/oidc/:provider/logout',
    {
      config: { needs: 'nothing', fails: ['not_found'] },
      schema: { summary: 'Log out at a provider', params: Params, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const discovered = await providers.find(request.params.provider);
      if (!discovered) throw new Problem('not_found');
      const { configuration } = discovered;
      if (configuration.serverMetadata().end_session_endpoint === undefined) return reply.redirect(loginPage, 303);
      const back = new URL(loginPage, originFor(request, origins)).href;
      return reply.redirect(buildEndSessionUrl(configuration, { post_logout_redirect_uri: back }).href, 303);
    },
  );
}
