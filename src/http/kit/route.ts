import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault, RouteOptions } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OAuthErrorCode } from './oauth-error.js';
import type { ProblemCode } from './problem.js';

export const ADMIN_SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'] as const;

/** What an API key of the admin API allows. */
export type AdminScope = (typeof ADMIN_SCOPES)[number];

/** What a request must prove before its handler runs: nothing, a session (of no OAuth client; whose user logged in recently), that an OAuth client sends it, or an API key with this scope. */
export type Needs =
  'nothing' | 'session' | 'user-session' | 'recent-session' | 'client' | 'confidential-client' | AdminScope;

declare module 'fastify' {
  interface FastifyContextConfig {
    needs?: Needs;
    /** The errors that are this route's own, beside those that follow from what it needs; for its documentation. */
    fails?: readonly (ProblemCode | OAuthErrorCode)[];
    /** Whether a request without a body counts as one with an empty object. */
    bodyIsOptional?: boolean;
  }
}

/** The instance that routes are added to: their TypeBox schemas type their requests and replies. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Refuses a route that does not say what it needs, so that none is open by accident. */
export function assertNeedsDeclared({ method, url, config }: RouteOptions): void {
  if (config?.needs === undefined) throw new Error(`${String(method)} ${url} does not declare what it needs`);
}
