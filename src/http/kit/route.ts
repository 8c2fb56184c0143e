import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault, RouteOptions } from 'fastify';
import type { OAuthErrorCode } from './oauth-error.js';
import type { ProblemCode } from './problem.js';

export const ADMIN_SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'] as const;

/** What an API key may do in the admin API. */
export type AdminScope = (typeof ADMIN_SCOPES)[number];

/**
 * What a request must prove before its handler runs:
 * - `nothing`: no hook checks it. The route is open to everyone, or its handler checks the request itself: for example
 *   `/refresh`, `/continue` and `/logout`, because they accept a refresh token, `/oidc/:provider`, because only `link`
 *   needs a session, and pages, because they redirect to the login page
 * - `session`: a valid access token
 * - `user-session`: as `session`, and the session was not issued to an OAuth client
 * - `recent-session`: as `user-session`, and the user logged in recently
 * - `client`: the credentials of an OAuth client, or the id of a public one
 * - `confidential-client`: the credentials of an OAuth client that has a secret
 * - an admin scope: an API key with that scope
 */
export type Needs =
  'nothing' | 'session' | 'user-session' | 'recent-session' | 'client' | 'confidential-client' | AdminScope;

declare module 'fastify' {
  interface FastifyContextConfig {
    needs?: Needs;
    /** Errors of this route in addition to those that `needs` implies, for the OpenAPI document. */
    fails?: readonly (ProblemCode | OAuthErrorCode)[];
    /** Whether a missing body is treated as `{}`. */
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

/**
 * An `onRoute` hook that throws if a route does not declare what it needs, so that no route is left open by
 * mistake.
 */
export function assertNeedsDeclared({ method, url, config }: RouteOptions): void {
  if (config?.needs === undefined) throw new Error(`${String(method)} ${url} does not declare what it needs`);
}
