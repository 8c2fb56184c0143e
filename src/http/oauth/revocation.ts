import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { ClientCredentials } from './client-credentials.js';
import { OAuthError } from '../kit/oauth-error.js';
import type { OAuthServices } from './services.js';

const Body = Type.Object({
  token: Type.String(),
  token_type_hint: Type.Optional(Type.String({ description: 'Not needed: a token tells by itself what it is' })),
  ...ClientCredentials,
});

// A client ignores the body (RFC 7009 section 2.2), but some insist that it is JSON.
const Nothing = Type.Object({}, { additionalProperties: false, description: 'The token is of no use any more' });

/** Revocation (RFC 7009): either token of a pair ends its session. What is unknown is revoked already. */
export function addRevocationRoute(app: App, services: OAuthServices): void {
  const { sessions, report } = services;

  app.post(
    '/oauth/revoke',
    {
      config: { needs: 'client', fails: ['invalid_grant'] },
      schema: {
        summary: 'Revoke a token',
        description:
          'Ends the session that an access or refresh token belongs to (RFC 7009). A token that is unknown or of no use any more is answered 200 too.',
        body: Body,
        response: { 200: Nothing },
      },
    },
    async (request) => {
      const { token } = request.body;
      const session = await sessionOf(token, services);
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

async function sessionOf(token: string, { sessions }: OAuthServices) {
  const presented = sessions.parseRefreshToken(token);
  if (!presented) return sessions.authenticate(token);
  const session = await sessions.inspectRefreshToken(presented);
  return session && { ...session, sessionId: presented.sessionId };
}
