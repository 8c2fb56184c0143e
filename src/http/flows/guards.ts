import type { FastifyReply, FastifyRequest } from 'fastify';
import { FRESH_AUTHENTICATION_MS } from '../../options.js';
import type { Identity, Principal } from '../../sessions/session.js';
import { errorHandler } from '../kit/error-handler.js';
import { challenge, readAccessToken } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { rejectCrossSiteRequest } from '../kit/same-origin.js';
import { toSeconds } from '../kit/token-response.js';
import type { Services } from './services.js';

/**
 * Authenticates a request by its access token and sets `request.principal`.
 *
 * @throws {Problem} `authentication_required` if there is no token, `invalid_token` if the token is not valid.
 */
export function authenticateRequest(request: FastifyRequest, { sessions, cookies }: Services): Promise<Principal> {
  const presented = readAccessToken(request, cookies);
  if (!presented) throw new Problem('authentication_required', { headers: challenge() });
  // Not `await`: this runs before the busiest routes, and an async function costs them another promise.
  return sessions.authenticate(presented.token).then((principal) => {
    if (!principal) throw new Problem('invalid_token', { headers: challenge('invalid_token') });
    request.principal = principal;
    return principal;
  });
}

/**
 * Authenticates a request as {@link authenticateRequest} does, and rejects sessions that were issued to an OAuth
 * client: they are limited to their scope, and no scope covers account management.
 *
 * @throws {Problem} `authentication_required`, `invalid_token` or `insufficient_scope`.
 */
export async function requireUserSession(request: FastifyRequest, services: Services): Promise<Principal> {
  return rejectClientSession(await authenticateRequest(request, services));
}

/** @throws {Problem} `insufficient_scope` if the session was issued to an OAuth client. */
export function rejectClientSession<T extends Identity>(identity: T): T {
  if (identity.client !== undefined) {
    throw new Problem('insufficient_scope', { headers: challenge('insufficient_scope') });
  }
  return identity;
}

type Requester = Pick<Principal, 'subject' | 'sessionId' | 'authenticatedAt'>;

/**
 * Requires that the user logged in recently by Redis's clock (RFC 9470; OWASP ASVS 5.0 7.5.2). If the login is too old,
 * the user must log in again, which gives this device a new session; refreshing does not help.
 *
 * @param maxAgeMs the maximum age of the login, in milliseconds; 0 disables the check.
 * @throws {Problem} `insufficient_user_authentication`
 */
export async function requireRecentAuthentication(
  { ip: address }: FastifyRequest,
  { subject, sessionId, authenticatedAt }: Requester,
  { recentAuthenticationMs, now, report }: Pick<Services, 'recentAuthenticationMs' | 'now' | 'report'>,
  maxAgeMs = recentAuthenticationMs,
): Promise<void> {
  if (maxAgeMs === 0 || (await now()) - authenticatedAt <= maxAgeMs) return;
  const reason = 'insufficient_user_authentication';
  report({ event: 'step_up', outcome: 'failure', reason, subject, sessionId, address });
  throw new Problem(reason, { headers: challenge(reason, { max_age: toSeconds(maxAgeMs) }) });
}

/**
 * Requires a login within the last two minutes, or within `recentAuthenticationMs` if that is shorter (0 disables the
 * check), for changes to how a user can log in (OWASP ASVS 5.0 7.5.1).
 *
 * @throws {Problem} `insufficient_user_authentication`
 */
export function requireFreshAuthentication(
  request: FastifyRequest,
  requester: Requester,
  services: Services,
): Promise<void> {
  const maxAgeMs = Math.min(services.recentAuthenticationMs, FRESH_AUTHENTICATION_MS);
  return requireRecentAuthentication(request, requester, services, maxAgeMs);
}

/** What a route of the host application requires of a session, besides that it is valid. */
export interface SessionRequirements {
  /** Scopes that the session must have been issued with. */
  readonly scopes?: readonly string[];
  /** The maximum age of the login, in milliseconds (RFC 9470). */
  readonly recentMs?: number;
}

export type SessionHook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;

/**
 * Creates the `onRequest` hook of `app.latchkey.requireSession`, for the routes of the host application. It
 * authenticates the request and sets `request.principal`, or responds with an error: 401 if the token is missing or
 * invalid or the login is too old, 403 if the request comes from another origin or a scope is missing (RFC 6750
 * section 3.1), 503 if Redis is unavailable. Errors never set a cookie.
 *
 * @example
 * ```ts
 * app.get('/orders', { onRequest: app.latchkey.requireSession({ scopes: ['orders:read'] }) }, (request) => {
 *   return listOrders(request.principal!.subject);
 * });
 * ```
 */
export function requireSession(services: Services, { scopes = [], recentMs }: SessionRequirements = {}): SessionHook {
  return async (request, reply) => {
    try {
      rejectCrossSiteRequest(request, services);
      const principal = await authenticateRequest(request, services);
      if (!hasScopes(principal, scopes)) {
        throw new Problem('insufficient_scope', {
          headers: challenge('insufficient_scope', { scope: scopes.join(' ') }),
        });
      }
      if (recentMs !== undefined) await requireRecentAuthentication(request, principal, services, recentMs);
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
