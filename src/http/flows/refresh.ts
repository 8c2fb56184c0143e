import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens, Origin, Rotation } from '../../sessions/session.js';
import type { RefreshToken } from '../../sessions/token.js';
import { presentedRefreshToken, type Transport } from '../kit/presented-tokens.js';
import { originOf } from '../kit/device.js';
import { Problem } from '../kit/problem.js';
import type { Services } from './services.js';
import { handOver } from '../kit/token-response.js';

/**
 * Answers a request's refresh token with a pair, in the transport that it came by.
 *
 * @throws {Problem} `reauthentication_required` with the `reason`: `missing`, `invalid`, `unknown`, or why the session ended.
 */
export async function refresh(request: FastifyRequest, reply: FastifyReply, services: Services, inBody?: string) {
  const { transport, tokens, keepsRefreshToken } = await refreshed(request, services, inBody);
  return handOver(reply, services.cookies, tokens, { transport, keepsRefreshToken });
}

/** As {@link refresh}, before the pair is handed over. */
export async function refreshed(
  request: FastifyRequest,
  services: Services,
  inBody?: string,
): Promise<{ transport: Transport; tokens: IssuedTokens; keepsRefreshToken: boolean }> {
  const { sessions, cookies } = services;
  const presented = presentedRefreshToken(request, cookies, inBody);
  if (!presented) throw reauthenticationRequired('missing');
  const token = sessions.parseRefreshToken(presented.token);
  if (!token) throw reauthenticationRequired('invalid');

  const rotation = await rotate(request, token, services);
  if (rotation.outcome === 'reused') throw reauthenticationRequired('reused');
  if (rotation.outcome === 'ended') throw reauthenticationRequired(rotation.reason);
  return { transport: presented.transport, tokens: rotation, keepsRefreshToken: rotation.outcome === 'unchanged' };
}

/** Rotates on behalf of a request, of an OAuth client's if there is one, and reports what became of it. */
export async function rotate(
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
  if (rotation.outcome === 'retried' && !isSame(rotation.lastRotation, originOf(request))) {
    report({ event: 'refresh', outcome: 'suspicious', reason: 'retried_elsewhere', subject, sessionId, address });
  }
  return rotation;
}

function isSame(one: Origin, other: Origin): boolean {
  return one.address === other.address && one.device === other.device;
}

function reauthenticationRequired(reason: string): Problem {
  return new Problem('reauthentication_required', { reason });
}
