import type { FastifyRequest } from 'fastify';
import type { IssuedTokens, RequestSource, Rotation } from '../../sessions/session.js';
import type { RefreshToken } from '../../sessions/token.js';
import { readRefreshToken, type Transport } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { requestSource } from '../kit/request-source.js';
import type { Services } from './services.js';

/**
 * Exchanges a request's refresh token for a pair of tokens, to be returned over the transport that it arrived on.
 *
 * @param bodyToken the refresh token in the request body, if any.
 * @returns the pair, the transport, and whether the client already has the pair's refresh token (`keepsRefreshToken`).
 * @throws {Problem} `reauthentication_required` with a `reason`: `missing`, `invalid`, `unknown`, or why the session
 *   ended.
 */
export async function refreshTokens(
  request: FastifyRequest,
  services: Services,
  bodyToken?: string,
): Promise<{ transport: Transport; tokens: IssuedTokens; keepsRefreshToken: boolean }> {
  const { sessions, cookies } = services;
  const presented = readRefreshToken(request, cookies, bodyToken);
  if (!presented) throw reauthenticationRequired('missing');
  const token = sessions.parseRefreshToken(presented.token);
  if (!token) throw reauthenticationRequired('invalid');

  const rotation = await rotateAndReport(request, token, services);
  if (rotation.outcome === 'reused') throw reauthenticationRequired('reused');
  if (rotation.outcome === 'ended') throw reauthenticationRequired(rotation.reason);
  return { transport: presented.transport, tokens: rotation, keepsRefreshToken: rotation.outcome === 'unchanged' };
}

/**
 * Rotates a refresh token. Reports an event, unless the outcome is `unchanged`, or `retried` from the same address and
 * device.
 *
 * @param client the OAuth client that sends the request, if any.
 */
export async function rotateAndReport(
  request: FastifyRequest,
  token: RefreshToken,
  { sessions, report }: Pick<Services, 'sessions' | 'report'>,
  client?: string,
): Promise<Rotation> {
  const address = request.ip;
  const { sessionId } = token;
  const rotation = await sessions.rotate(token, { address, ...(client !== undefined && { client }) });
  if (rotation.outcome === 'reused') {
    report({ event: 'refresh', outcome: 'failure', reason: 'reused', subject: rotation.subject, sessionId, address });
    return rotation;
  }
  if (rotation.outcome === 'ended') {
    report({ event: 'refresh', outcome: 'failure', reason: rotation.reason, sessionId, address });
    return rotation;
  }
  const { subject } = rotation.principal;
  if (rotation.outcome === 'rotated') report({ event: 'refresh', outcome: 'success', subject, sessionId, address });
  if (rotation.outcome === 'retried' && !isSameSource(rotation.lastSource, requestSource(request))) {
    report({ event: 'refresh', outcome: 'suspicious', reason: 'retried_elsewhere', subject, sessionId, address });
  }
  return rotation;
}

function isSameSource(a: RequestSource, b: RequestSource): boolean {
  return a.address === b.address && a.device === b.device;
}

function reauthenticationRequired(reason: string): Problem {
  return new Problem('reauthentication_required', { reason });
}
