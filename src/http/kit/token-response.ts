import { type Static, type TInteger, Type } from '@sinclair/typebox';
import type { FastifyReply } from 'fastify';
import type { IssuedTokens, Principal } from '../../sessions/session.js';
import type { TokenCookies } from './cookies.js';
import type { Transport } from './presented-tokens.js';

/** The schema of a point in time, in seconds since the Unix epoch. */
export function Timestamp(description: string): TInteger {
  return Type.Integer({ description: `${description}, in seconds since the Unix epoch` });
}

export const SessionBody = Type.Object(
  {
    session_id: Type.String(),
    subject: Type.String(),
    username: Type.Optional(Type.String()),
    authenticated_at: Timestamp('When the user last authenticated'),
    methods: Type.Unsafe<readonly string[]>(
      Type.Array(Type.String(), { description: 'How the user authenticated (RFC 8176)' }),
    ),
    expires_at: Timestamp('When the access token expires'),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
);

export function toSessionBody(principal: Principal): Static<typeof SessionBody> {
  const { sessionId, subject, username, authenticatedAt, methods, expiresAt, client, scope, data } = principal;
  return {
    session_id: sessionId,
    subject,
    username,
    authenticated_at: toSeconds(authenticatedAt),
    methods,
    expires_at: toSeconds(expiresAt),
    client_id: client,
    scope,
    data,
    // The serializer omits undefined properties.
  } as Static<typeof SessionBody>;
}

/** Converts milliseconds to whole seconds, rounding down. */
export function toSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}

export const TokensBody = Type.Object(
  {
    access_token: Type.Optional(Type.String({ description: 'Only with the bearer transport' })),
    token_type: Type.Optional(Type.Literal('Bearer')),
    refresh_token: Type.Optional(Type.String({ description: 'Only with the bearer transport' })),
    expires_in: Type.Integer({ description: 'Remaining lifetime of the access token, in seconds' }),
    refresh_expires_in: Type.Integer({ description: 'Remaining lifetime of the refresh token, in seconds' }),
    session: SessionBody,
  },
  { additionalProperties: false },
);

/**
 * Delivers a pair of tokens over the client's transport: sets cookies or returns a body with the tokens, never both.
 *
 * @param options `keepsRefreshToken` does not set the refresh cookie, because the browser already has this refresh
 *   token.
 * @returns the body of the response.
 */
export function deliverTokens(
  reply: FastifyReply,
  cookies: TokenCookies,
  tokens: IssuedTokens,
  { transport, keepsRefreshToken = false }: { transport: Transport; keepsRefreshToken?: boolean },
): Static<typeof TokensBody> {
  if (transport === 'bearer') return toBearerBody(tokens);
  if (keepsRefreshToken) cookies.setAccess(reply, tokens);
  else cookies.setTokens(reply, tokens);
  return toBodyWithoutTokens(tokens);
}

/** Builds a response body that contains the tokens. */
export function toBearerBody(tokens: IssuedTokens): Static<typeof TokensBody> {
  const { access, refresh } = tokens.pair;
  return {
    access_token: access.token,
    token_type: 'Bearer',
    refresh_token: refresh.token,
    ...toBodyWithoutTokens(tokens),
  };
}

function toBodyWithoutTokens({
  principal,
  accessExpiresInMs,
  refreshExpiresInMs,
}: IssuedTokens): Static<typeof TokensBody> {
  return {
    expires_in: toSeconds(accessExpiresInMs),
    refresh_expires_in: toSeconds(refreshExpiresInMs),
    session: toSessionBody(principal),
  };
}
