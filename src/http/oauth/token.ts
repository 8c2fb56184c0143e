import { Type } from '@sinclair/typebox';
import { rotateAndReport } from '../flows/refresh.js';
import { OAuthError } from '../kit/oauth-error.js';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import { ClientCredentials } from './clients.js';
import type { OAuthServices } from './services.js';

const Body = Type.Object({
  grant_type: Type.String({ description: 'Must be `refresh_token`' }),
  refresh_token: Type.Optional(Type.String()),
  scope: Type.Optional(Type.String({ description: 'If present, must equal the granted scope' })),
  ...ClientCredentials,
});

const Reply = Type.Object(
  {
    access_token: Type.String(),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({ description: 'Remaining lifetime of the access token, in seconds' }),
    refresh_token: Type.String({ description: 'Replaces the one that was sent' }),
    scope: Type.Optional(Type.String()),
  },
  { additionalProperties: false },
);

/** Adds the refresh_token grant (RFC 6749 section 6), for sessions that were issued to the client. */
export function addTokenRoute(app: App, services: OAuthServices): void {
  app.post(
    '/oauth/token',
    {
      config: { needs: 'client', fails: ['invalid_grant', 'unsupported_grant_type', 'invalid_scope'] },
      schema: {
        summary: 'Refresh tokens',
        description:
          'Exchanges a refresh token for a new pair (RFC 6749 section 6). ' +
          'The client must store the new refresh token.',
        body: Body,
        response: { 200: Reply },
      },
    },
    async (request) => {
      const client = request.oauthClient!;
      const { grant_type, refresh_token, scope } = request.body;
      if (grant_type !== 'refresh_token')
        throw new OAuthError('unsupported_grant_type', 'The only grant type is refresh_token.');
      if (refresh_token === undefined)
        throw new OAuthError('invalid_request', 'The parameter refresh_token is missing.');
      const presented = services.sessions.parseRefreshToken(refresh_token);
      if (!presented) throw invalidGrant();
      // Checking before the rotation is safe, because the scope of a session never changes.
      if (scope !== undefined) {
        const session = await services.sessions.inspectRefreshToken(presented);
        if (session?.client === client.id) requireGrantedScope(scope, session.scope);
      }

      const rotation = await rotateAndReport(request, presented, services, client.id);
      if (rotation.outcome === 'ended' || rotation.outcome === 'reused') throw invalidGrant();
      const { pair, principal, accessExpiresInMs } = rotation;
      return {
        access_token: pair.access.token,
        token_type: 'Bearer' as const,
        expires_in: toSeconds(accessExpiresInMs),
        refresh_token: pair.refresh.token,
        ...(principal.scope !== undefined && { scope: principal.scope }),
      };
    },
  );
}

function invalidGrant(): OAuthError {
  return new OAuthError(
    'invalid_grant',
    'The refresh token is invalid, expired, revoked, or was issued to another client.',
  );
}

/** @throws {OAuthError} `invalid_scope` if the scopes differ. */
function requireGrantedScope(requested: string, granted = ''): void {
  const [a, b] = [parseScope(requested), parseScope(granted)];
  if (a.size !== b.size || ![...a].every((word) => b.has(word)))
    throw new OAuthError('invalid_scope', 'The scope must equal the granted scope or be omitted.');
}

function parseScope(scope: string): Set<string> {
  return new Set(scope.split(' ').filter((word) => word !== ''));
}
