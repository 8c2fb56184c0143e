import type { ScriptReply } from '../redis/script.js';
import type { Identity, IssuedTokens, Principal, Session } from './session.js';
import type { TokenPair } from './token.js';

/** The JSON of an access key. A rotation writes `unconfirmed`; the first use of the access token removes it. */
export type AccessValue = Principal & { readonly unconfirmed?: true };

/** Reads the principal from the value of an access key. */
export function parsePrincipal(value: string): Principal {
  const { unconfirmed: _, ...principal } = JSON.parse(value) as AccessValue;
  return principal;
}

/**
 * Writes an identity as the JSON that a session stores. `issue` adds `authenticatedAt`. Callers may pass a whole
 * principal: its session id and expiry belong to another session, so they are left out.
 */
export function serializeIdentity({
  subject,
  username,
  methods,
  client,
  scope,
  data,
}: Omit<Identity, 'authenticatedAt'>): string {
  const identity = { subject, username, methods, client, scope, data };
  return JSON.stringify(identity satisfies Record<keyof Omit<Identity, 'authenticatedAt'>, unknown>);
}

/** Reads an identity as a session stores it, or as a script returns it as `principal`. */
export function parseIdentity(principal: string): Identity {
  return JSON.parse(principal) as Identity;
}

/** Reads a session from the fields of its hash in Redis. */
export function parseSession(sessionId: string, fields: Record<string, string>): Session {
  return {
    ...parseIdentity(fields.principal!),
    sessionId,
    createdAt: Number(fields.createdAt),
    renewedAt: Number(fields.rotatedAt ?? fields.createdAt),
    endsAt: Number(fields.endsAt),
    device: fields.device!,
    address: fields.address!,
    generation: Number(fields.generation),
  };
}

/** Combines a pair of tokens with what `issue` or `rotate` returned for it. */
export function toIssuedTokens(pair: TokenPair, reply: ScriptReply<string>): IssuedTokens {
  return {
    pair,
    principal: parsePrincipal(reply.value!),
    accessExpiresInMs: Number(reply.accessExpiresIn),
    refreshExpiresInMs: Number(reply.expiresIn),
  };
}

/** Splits the comma-separated session ids that a script returns. */
export function splitIds(ids: string | undefined): string[] {
  return ids ? ids.split(',') : [];
}
