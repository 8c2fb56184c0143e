import { type Static, Type } from '@sinclair/typebox';
import type { Identity, Principal } from '../../sessions/session.js';
import { providerLoginOf } from '../flows/sessions-from-provider.js';
import type { App } from '../kit/route.js';
import { Timestamp, toSeconds } from '../kit/token-response.js';
import { ClientCredentials, type OAuthClient } from './clients.js';
import { issuerOf } from './metadata.js';
import type { OAuthServices } from './services.js';

/** Body of introspection requests (RFC 7662 section 2.1) and revocation requests (RFC 7009 section 2.1). */
export const TokenRequest = Type.Object({
  token: Type.String(),
  token_type_hint: Type.Optional(Type.String({ description: 'Ignored: the type is evident from the token' })),
  ...ClientCredentials,
});

const Active = Type.Object(
  {
    active: Type.Literal(true),
    iss: Type.String(),
    sub: Type.String(),
    username: Type.Optional(Type.String()),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    token_type: Type.Optional(
      Type.Literal('Bearer', { description: 'Only for access tokens; absent for refresh tokens' }),
    ),
    iat: Timestamp('When the token was issued'),
    exp: Timestamp('When the token expires'),
    auth_time: Timestamp('When the user last authenticated'),
    amr: Type.Array(Type.String(), { description: 'How the user authenticated (RFC 8176)' }),
    acr: Type.Optional(
      Type.String({
        description: 'Authentication context class reference, as stated by the OpenID Connect provider',
      }),
    ),
    sid: Type.String({ description: 'The session id' }),
    data: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: "The application's own data, kept with the session" }),
    ),
  },
  { additionalProperties: false },
);
const Inactive = Type.Object({ active: Type.Literal(false) }, { additionalProperties: false });
const INACTIVE: Static<typeof Inactive> = { active: false };

/**
 * Adds introspection (RFC 7662), for confidential clients. Introspecting an access token counts as using it.
 * Introspecting a refresh token has no effect, and the token is active only for the client that it was issued to.
 */
export function addIntrospectionRoute(app: App, services: OAuthServices): void {
  app.post(
    '/oauth/introspect',
    {
      config: { needs: 'confidential-client' },
      schema: {
        summary: 'Introspect a token',
        description:
          'Returns whether a token is active, and what it stands for (RFC 7662). ' +
          'The response for any inactive token is exactly `{"active":false}`.',
        body: TokenRequest,
        response: { 200: Type.Union([Active, Inactive]) },
      },
    },
    async (request, reply) => {
      const { token } = request.body;
      return reply.send(
        (await introspectAccessToken(token, services)) ??
          (await introspectRefreshToken(token, request.oauthClient!, services)) ??
          INACTIVE,
      );
    },
  );
}

async function introspectAccessToken(
  token: string,
  services: OAuthServices,
): Promise<Static<typeof Active> | undefined> {
  const principal = await services.sessions.authenticate(token);
  return (
    principal && {
      ...toClaims(principal, { ...principal, issuedAt: services.sessions.issuedAtOf(principal) }, services),
      token_type: 'Bearer',
    }
  );
}

async function introspectRefreshToken(token: string, client: OAuthClient, services: OAuthServices) {
  const presented = services.sessions.parseRefreshToken(token);
  const session = presented && (await services.sessions.inspectRefreshToken(presented));
  if (session?.status !== 'active' || session.client !== client.id) return undefined;
  const { sessionId } = presented!;
  return toClaims(session, { sessionId, issuedAt: session.renewedAt, expiresAt: session.expiresAt }, services);
}

function toClaims(
  { subject, username, client, scope, authenticatedAt, methods, data }: Identity,
  { sessionId, issuedAt, expiresAt }: Pick<Principal, 'sessionId' | 'expiresAt'> & { issuedAt: number },
  services: OAuthServices,
): Static<typeof Active> {
  const { acr } = providerLoginOf(data);
  return {
    active: true,
    iss: issuerOf(services),
    sub: subject,
    ...(username !== undefined && { username }),
    ...(client !== undefined && { client_id: client }),
    ...(scope !== undefined && { scope }),
    iat: toSeconds(issuedAt),
    exp: toSeconds(expiresAt),
    auth_time: toSeconds(authenticatedAt),
    amr: [...methods],
    ...(acr !== undefined && { acr }),
    sid: sessionId,
    ...(data !== undefined && { data }),
  };
}
