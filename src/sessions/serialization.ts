import type { ScriptReply } from '../redis/script.js';
import type { Identity, IssuedTokens, IssueRequest, Principal, Session } from './session.js';
import type { TokenPair } from './token.js';

/** The JSON that an access key holds. A rotation sets `unconfirmed`; the first use of the access token removes it. */
export type AccessValue = Principal & { readonly unconfirmed?: true };

/** Converts the value of an access key to the principal of its token. */
export function toPrincipal({ unconfirmed: _, ...principal }: AccessValue): Principal {
  return principal;
}

/**
 * Serializes an identity as the JSON that a session stores; the script adds `authenticatedAt`. Callers may pass a
 * principal: its session id and expiry are left out, because they belong to another session.
 */
export function serializeIdentity({
  subject,
  username,
  methods,
  client,
  scope,
  data,
}: IssueRequest['identity']): string {
  const identity = { subject, username, methods, client, scope, data };
  return JSON.stringify(identity satisfies Record<keyof IssueRequest['identity'], unknown>);
}

/** Parses the identity of a session: its field `principal`, which scripts also return under this name. */
export function parseIdentity(principal: string): Identity {
  return JSON.parse(principal) as Identity;
}

/** Parses the fields of a session's hash in Redis. */
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

/** Combines a pair of tokens with the reply of the script that issued it. */
export function toIssuedTokens(pair: TokenPair, reply: ScriptReply<string>): IssuedTokens {
  return {
    pair,
    principal: toPrincipal(JSON.parse(reply.value!) as AccessValue),
    accessExpiresInMs: Number(reply.accessExpiresIn),
    refreshExpiresInMs: Number(reply.refreshExpiresIn),
  };
}

/** Splits the comma-separated session ids that a script returns. */
export function splitIds(ids: string | undefined): string[] {
  return ids ? ids.split(',') : [];
}
