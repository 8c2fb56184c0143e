import { Type } from '@sinclair/typebox';
import { OAuthError } from '../kit/oauth-error.js';
import type { App } from '../kit/route.js';
import { TokenRequest } from './introspection.js';
import type { OAuthServices } from './services.js';

// Clients ignore the body (RFC 7009 section 2.2), but some require it to be JSON.
const Reply = Type.Object({}, { additionalProperties: false, description: 'The token is no longer valid' });

/** Adds revocation (RFC 7009). Revoking either token of a pair ends the session. Unknown tokens are accepted. */
export function addRevocationRoute(app: App, services: OAuthServices): void {
  const { sessions, report } = services;

  app.post(
    '/oauth/revoke',
    {
      config: { needs: 'client', fails: ['invalid_grant'] },
      schema: {
        summary: 'Revoke a token',
        description:
          'Ends the session that an access or refresh token belongs to (RFC 7009). ' +
          'The response is also 200 if the token is unknown, expired or revoked.',
        body: TokenRequest,
        response: { 200: Reply },
      },
    },
    async (request) => {
      const { token } = request.body;
      const session = await findSession(token, services);
      if (!session) await sessions.awaitRevocations(token);
      else {
        const { subject, sessionId, client } = session;
        if (client !== request.oauthClient!.id)
          throw new OAuthError('invalid_grant', 'The token was issued to another client.');
        await sessions.revoke(subject, sessionId, 'revoked');
        report({
          event: 'session_end',
          outcome: 'success',
          reason: 'revoked',
          subject,
          sessionId,
          address: request.ip,
        });
      }
      return {};
    },
  );
}

async function findSession(token: string, { sessions }: OAuthServices) {
  const presented = sessions.parseRefreshToken(token);
  if (!presented) return sessions.authenticate(token);
  const session = await sessions.inspectRefreshToken(presented);
  return session && { ...session, sessionId: presented.sessionId };
}
