import { type Static, Type } from '@sinclair/typebox';
import type { FastifyReply } from 'fastify';
import type { IssuedTokens, Principal } from '../sessions/session.js';
import type { TokenCookies } from './cookies.js';
import type { Transport } from './credentials.js';

const Instant = (description: string) => Type.Integer({ description: `${description}, in seconds since 1970` });

export const SessionBody = Type.Object(
  {
    session_id: Type.String(),
    subject: Type.String(),
    username: Type.Optional(Type.String()),
    authenticated_at: Instant('When the user last proved who they are'),
    methods: Type.Array(Type.String(), { description: 'How (RFC 8176)' }),
    expires_at: Instant('When the access token expires'),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false },
);

export function sessionBody(principal: Principal): Static<typeof SessionBody> {
  const { sessionId, subject, username, authenticatedAt, methods, expiresAt, client, scope, data } = principal;
  return {
    session_id: sessionId,
    subject,
    ...(username !== undefined && { username }),
    authenticated_at: seconds(authenticatedAt),
    methods: [...methods],
    expires_at: seconds(expiresAt),
    ...(client !== undefined && { client_id: client }),
    ...(scope !== undefined && { scope }),
    ...(data !== undefined && { data }),
  };
}

/** Milliseconds to whole seconds since 1970. */
export function seconds(ms: number): number {
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
export function handOver(
  reply: FastifyReply,
  cookies: TokenCookies,
  tokens: IssuedTokens,
  { transport, keepsRefreshToken = false }: { transport: Transport; keepsRefreshToken?: boolean },
): Static<typeof TokensBody> {
  const { pair, principal, accessExpiresInMs, refreshExpiresInMs } = tokens;
  const body = {
    expires_in: seconds(accessExpiresInMs),
    refresh_expires_in: seconds(refreshExpiresInMs),
    session: sessionBody(principal),
  };
  if (transport === 'bearer') {
    return { access_token: pair.access.token, token_type: 'Bearer', refresh_token: pair.refresh.token, ...body };
  }
  if (keepsRefreshToken) cookies.setAccess(reply, tokens);
  else cookies.set(reply, tokens);
  return body;
}
