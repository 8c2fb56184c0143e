import { Type } from '@sinclair/typebox';
import type { LogoutClaims } from '../../federation/logout-tokens.js';
import { endSessionsFromProvider } from '../flows/sessions-from-provider.js';
import type { App } from '../kit/route.js';
import type { OidcServices } from './services.js';
import { ProviderParams, requireProvider } from './shared.js';

const LogoutTokenForm = Type.Object({ logout_token: Type.String() }, { additionalProperties: Type.Unknown() });
const EmptyBody = Type.Unsafe<undefined>({ type: 'null' });

/**
 * Adds the route where a provider sends logout tokens (OpenID Connect Back-Channel Logout 1.0). Ends the sessions that
 * began with a login at the provider.
 */
export function addBackchannelLogoutRoute(app: App, services: OidcServices): void {
  const { providers, logoutTokens } = services;
  app.post(
    '/oidc/:provider/backchannel',
    {
      config: { needs: 'nothing', fails: ['not_found', 'unsupported_media_type', 'payload_too_large'] },
      schema: {
        summary: 'Back-channel logout',
        consumes: ['application/x-www-form-urlencoded'],
        params: ProviderParams,
        body: LogoutTokenForm,
        response: { 200: EmptyBody },
      },
    },
    async (request, reply) => {
      const discovered = await requireProvider(providers, request.params.provider);
      const claims = await logoutTokens.verify(discovered, request.body.logout_token);
      const subject = await findSubject(claims, services);
      if (subject !== undefined) {
        const { name } = discovered.provider;
        const { sid } = claims;
        await endSessionsFromProvider(name, subject, services, {
          sid,
          reason: 'revoked',
          actor: name,
          address: request.ip,
        });
      }
      await logoutTokens.markAsUsed(claims);
      return reply.send();
    },
  );
}

/** Finds the subject of a logout token by its `sub` or, if it has none, by its `sid`. */
function findSubject({ issuer, sub, sid }: LogoutClaims, services: OidcServices): Promise<string | undefined> {
  const { links, providerSessions } = services;
  return sub === undefined ? providerSessions.findSubject({ issuer, sid: sid! }) : links.findSubject({ issuer, sub });
}
