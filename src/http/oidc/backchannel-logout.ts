import { Type } from '@sinclair/typebox';
import type { LogoutClaims } from '../../federation/logout-tokens.js';
import { endSessionsFromProvider } from '../flows/sessions-from-provider.js';
import type { App } from '../kit/route.js';
import { ProviderParams, requireProvider } from './shared.js';
import type { OidcServices } from './services.js';

const Form = Type.Object({ logout_token: Type.String() }, { additionalProperties: Type.Unknown() });
const Ended = Type.Unsafe<undefined>({ type: 'null' });

/**
 * Ends the sessions that began with a provider when it sends a logout token (OpenID Connect Back-Channel Logout 1.0).
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
        body: Form,
        response: { 200: Ended },
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

/** The subject whose sessions a logout token is about: by the account if it names one, otherwise by the session. */
function findSubject({ issuer, sub, sid }: LogoutClaims, services: OidcServices): Promise<string | undefined> {
  const { links, providerSessions } = services;
  return sub === undefined ? providerSessions.findSubject({ issuer, sid: sid! }) : links.findSubject({ issuer, sub });
}
