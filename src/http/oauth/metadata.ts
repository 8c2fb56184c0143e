import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import type { OAuthServices } from './services.js';

const Methods = Type.Array(Type.String());

const Metadata = Type.Object({
  issuer: Type.String(),
  token_endpoint: Type.String(),
  token_endpoint_auth_methods_supported: Methods,
  introspection_endpoint: Type.String(),
  introspection_endpoint_auth_methods_supported: Methods,
  revocation_endpoint: Type.String(),
  revocation_endpoint_auth_methods_supported: Methods,
  grant_types_supported: Methods,
  response_types_supported: Methods,
});

const CONFIDENTIAL = ['client_secret_basic', 'client_secret_post'];

/** Adds the authorization server metadata (RFC 8414). The first public origin is the issuer. */
export function addMetadataRoute(app: App, services: OAuthServices): void {
  app.get(
    '/.well-known/oauth-authorization-server',
    {
      config: { needs: 'nothing' },
      schema: {
        summary: 'Discover the OAuth endpoints',
        description:
          'Authorization server metadata (RFC 8414). ' +
          'There is no authorization endpoint, so no response type is supported.',
        tags: ['oauth'],
        response: { 200: Metadata },
      },
    },
    async () => {
      const issuer = issuerOf(services);
      return {
        issuer,
        token_endpoint: `${issuer}/oauth/token`,
        token_endpoint_auth_methods_supported: [...CONFIDENTIAL, 'none'],
        introspection_endpoint: `${issuer}/oauth/introspect`,
        introspection_endpoint_auth_methods_supported: CONFIDENTIAL,
        revocation_endpoint: `${issuer}/oauth/revoke`,
        revocation_endpoint_auth_methods_supported: [...CONFIDENTIAL, 'none'],
        grant_types_supported: ['refresh_token'],
        response_types_supported: [],
      };
    },
  );
}

/** Returns the first public origin. The fallback is never sent: the origins are known once the service listens. */
export function issuerOf({ origins }: OAuthServices): string {
  const [first = 'http://localhost'] = origins;
  return first;
}
