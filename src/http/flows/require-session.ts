import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../sessions/session.js';
import { authenticateRequest } from './authenticate.js';
import { challenge } from '../kit/presented-tokens.js';
import { errorHandler } from '../kit/error-handler.js';
import { Problem } from '../kit/problem.js';
import { requireSameOrigin } from '../kit/same-origin.js';
import type { Services } from './services.js';
import { requireRecentAuthentication } from './step-up.js';

/** What a route asks of the session, beyond that there is one. */
export interface SessionRequirements {
  /** Scopes that the session must have been issued with. */
  readonly scopes?: readonly string[];
  /** How long ago the user may have logged in, in milliseconds (RFC 9470). */
  readonly recentMs?: number;
}

/** A Fastify `onRequest` hook. */
export type SessionHook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/**
 * Makes the `onRequest` hook of a host's routes: it proves the access token and sets `request.principal`, or answers by itself:
 * 401 without a valid token or with too old a login, 403 across sites or without a scope (RFC 6750 section 3.1), 503 when
 * Redis does not answer. None of these answers writes a cookie.
 */
export function requireSession(services: Services, { scopes = [], recentMs }: SessionRequirements = {}): SessionHook {
  return async (request, reply) => {
    try {
      requireSameOrigin(request, services);
      const principal = await authenticateRequest(request, services);
      if (!hasScopes(principal, scopes)) {
        throw new Problem('insufficient_scope', {
          headers: challenge('insufficient_scope', { scope: scopes.join(' ') }),
        });
      }
      if (recentMs !== undefined) {
        await requireRecentAuthentication(request, principal, { ...services, recentAuthenticationMs: recentMs });
      }
    } catch (error) {
      return errorHandler(error, request, reply);
    }
  };
}

function hasScopes({ scope = '' }: Principal, scopes: readonly string[]): boolean {
  if (scopes.length === 0) return true;
  const granted = new Set(scope.split(' '));
  return scopes.every((each) => granted.has(each));
}
