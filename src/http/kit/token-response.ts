import { type Static, Type } from '@sinclair/typebox';
import type { FastifyReply } from 'fastify';
import type { IssuedTokens, Principal } from '../../sessions/session.js';
import type { TokenCookies } from './cookies.js';
import type { Transport } from './presented-tokens.js';

const Instant = (description: string) => Type.Integer({ description: `${description}, in seconds since 1970` });

export const SessionBody = Type.Object(
  {
    session_id: Type.String(),
    subject: Type.String(),
    username: Type.Optional(Type.String()),
    authenticated_at: Instant('When the user last proved who they are'),
    methods: Type.Unsafe<readonly string[]>(Type.Array(Type.String(), { description: 'How (RFC 8176)' })),
    expires_at: Instant('When the access token expires'),
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
    // A serializer leaves out what is undefined.
  } as Static<typeof SessionBody>;
}

/** Milliseconds to whole seconds since 1970. */
export function toSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}

export const TokensBody = Type.Object(
  {
    access_token: Type.Optional(Type.String({ description: 'With the bearer transport only' })),
    token_type: Type.Optional(Type.Literal('Bearer')),
    refresh_token: Type.Optional(Type.String({ description: 'With the bearer transport only' })),
    expires_in: Type.Integer({ description: 'What is left of the access token, in seconds' }),
    refresh_expires_in: Type.Integer({ description: 'What is left of the refresh token, in seconds' }),
    session: SessionBody,
  },
  { additionalProperties: false },
);

/** Hands a pair of tokens to its client, by the transport that it chose: in cookies or in the body, never both. */
export function deliverTokens(
  reply: FastifyReply,
  cookies: TokenCookies,
  tokens: IssuedTokens,
  { transport, keepsRefreshToken = false }: { transport: Transport; keepsRefreshToken?: boolean },
): Static<typeof TokensBody> {
  if (transport === 'bearer') return toBearerBody(tokens);
  if (keepsRefreshToken) cookies.setAccess(reply, tokens);
  else cookies.set(reply, tokens);
  return toBodyWithoutTokens(tokens);
}

/** A pair of tokens in the body. */
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
