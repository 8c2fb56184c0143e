import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault, RouteOptions } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OAuthErrorCode } from './oauth-error.js';
import type { ProblemCode } from './problem.js';

export const ADMIN_SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'] as const;

/** What an API key may do in the admin API. */
export type AdminScope = (typeof ADMIN_SCOPES)[number];

/**
 * What a request must prove before its handler runs:
 * - `nothing`
 * - `session`: a valid access token
 * - `user-session`: and the session was not issued to an OAuth client
 * - `recent-session`: and its user logged in recently
 * - `client`: an OAuth client sends it
 * - `confidential-client`: an OAuth client that has a secret sends it
 * - an admin scope: an API key with that scope
 */
export type Needs =
  'nothing' | 'session' | 'user-session' | 'recent-session' | 'client' | 'confidential-client' | AdminScope;

declare module 'fastify' {
  interface FastifyContextConfig {
    needs?: Needs;
    /** Errors of this route besides those that follow from what it needs; for the OpenAPI document. */
    fails?: readonly (ProblemCode | OAuthErrorCode)[];
    /** Whether a request without a body is treated as one with an empty object. */
    bodyIsOptional?: boolean;
  }
}

/** A Fastify instance whose routes are typed by their TypeBox schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** An `onRoute` hook that throws if a route does not declare what it needs, so that none is open by accident. */
export function assertNeedsDeclared({ method, url, config }: RouteOptions): void {
  if (config?.needs === undefined) throw new Error(`${String(method)} ${url} does not declare what it needs`);
}
