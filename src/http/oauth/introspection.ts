import { type Static, Type } from '@sinclair/typebox';
import type { Identity, Principal } from '../../sessions/session.js';
import { providerLoginOf } from '../flows/provider-login.js';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import type { OAuthClient } from './clients.js';
import { ClientCredentials } from './client-credentials.js';
import type { OAuthServices } from './services.js';
import { findIssuer } from './metadata.js';

const Body = Type.Object({
  token: Type.String(),
  token_type_hint: Type.Optional(Type.String({ description: 'Not needed: a token tells by itself what it is' })),
  ...ClientCredentials,
});

const Instant = (description: string) => Type.Integer({ description: `${description}, in seconds since 1970` });

const Active = Type.Object(
  {
    active: Type.Literal(true),
    iss: Type.String(),
    sub: Type.String(),
    username: Type.Optional(Type.String()),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    token_type: Type.Optional(
      Type.Literal('Bearer', { description: 'Of access tokens only; what has none is a refresh token' }),
    ),
    iat: Instant('When the token was issued'),
    exp: Instant('When the token expires'),
    auth_time: Instant('When the user last proved who they are'),
    amr: Type.Array(Type.String(), { description: 'How (RFC 8176)' }),
    acr: Type.Optional(
      Type.String({ description: 'How strongly, as the OpenID Connect provider said that the session began with' }),
    ),
    sid: Type.String({ description: 'The session' }),
    data: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'What the application keeps with the session' }),
    ),
  },
  { additionalProperties: false },
);
const Inactive = Type.Object({ active: Type.Literal(false) }, { additionalProperties: false });
const INACTIVE: Static<typeof Inactive> = { active: false };

/**
 * Introspection (RFC 7662), for confidential clients. Of an access token it is a use like any other;
 * of a refresh token it changes nothing, and tells only the client that the token was issued to.
 */
export function addIntrospectionRoute(app: App, services: OAuthServices): void {
  app.post(
    '/oauth/introspect',
    {
      config: { needs: 'confidential-client' },
      schema: {
        summary: 'Introspect a token',
        description: 'What a token proves (RFC 7662). Anything that is not active is exactly `{"active":false}`.',
        body: Body,
        response: { 200: Type.Union([Active, Inactive]) },
      },
    },
    async (request, reply) => {
      const { token } = request.body;
      return reply.send(
        (await accessToken(token, services)) ?? (await refreshToken(token, request.oauthClient!, services)) ?? INACTIVE,
      );
    },
  );
}

async function accessToken(token: string, services: OAuthServices): Promise<Static<typeof Active> | undefined> {
  const principal = await services.sessions.authenticate(token);
  return (
    principal && {
      ...claims(principal, { ...principal, issuedAt: services.sessions.issuedAtOf(principal) }, services),
      token_type: 'Bearer',
    }
  );
}

async function refreshToken(token: string, client: OAuthClient, services: OAuthServices) {
  const presented = services.sessions.parseRefreshToken(token);
  const session = presented && (await services.sessions.inspectRefreshToken(presented));
  if (session?.status !== 'active' || session.client !== client.id) return undefined;
  const { sessionId } = presented!;
  return claims(session, { sessionId, issuedAt: session.renewedAt, expiresAt: session.expiresAt }, services);
}

function claims(
  { subject, username, client, scope, authenticatedAt, methods, data }: Identity,
  { sessionId, issuedAt, expiresAt }: Pick<Principal, 'sessionId' | 'expiresAt'> & { issuedAt: number },
  services: OAuthServices,
): Static<typeof Active> {
  const { acr } = providerLoginOf(data);
  return {
    active: true,
    iss: findIssuer(services),
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
