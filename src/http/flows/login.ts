import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { StaleCredentialError } from '../../sessions/errors.js';
import { challenge, readAccessToken, readRefreshToken } from '../kit/presented-tokens.js';
import { requestSource } from '../kit/request-source.js';
import { Problem } from '../kit/problem.js';
import { reportDisplacedSessions, reportFailure } from './audit.js';
import type { Services } from './services.js';
import type { Verification } from './verify-credentials.js';
import { disconnectSignal } from '../kit/disconnect-signal.js';

/**
 * Verifies a user's credentials and issues a session. It replaces the session that this client has of the same user.
 *
 * @throws {Problem} `invalid_credentials`, whether the username or the password is wrong.
 * @throws {TooManyAttemptsError} {@link UnavailableError}
 */
export async function login(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  credentials: { readonly username: string; readonly password: string },
): Promise<IssuedTokens> {
  const { verifyCredentials, throttle, report } = services;
  const address = request.ip;
  const signal = disconnectSignal(reply);
  const verify = () =>
    throttle.guard({ username: credentials.username, address }, () => verifyCredentials({ ...credentials, signal }));

  const attempt = { event: 'login', address } as const;
  const verification = await reportFailure(services, attempt, verify);
  const known = verification.subject === undefined ? attempt : { ...attempt, subject: verification.subject };
  const tokens = await reportFailure(services, known, async () => {
    try {
      return await issueSession(verification, request, services);
    } catch (error) {
      if (!(error instanceof StaleCredentialError)) throw error;
      // The stored hash has changed meanwhile: to that of another password, or to a new hash of the same one.
      return issueSession(await verify(), request, services);
    }
  });
  const { subject, sessionId } = tokens.principal;
  report({ event: 'login', outcome: 'success', subject, sessionId, address });
  reportDisplacedSessions(services, tokens, address);
  return tokens;
}

async function issueSession(verification: Verification, request: FastifyRequest, services: Services) {
  if (!verification.verified) throw new Problem('invalid_credentials', { headers: challenge() });
  const { subject, username, methods = ['pwd'], credential } = verification;
  const supersedes = await findCurrentSessionId(subject, request, services);
  return services.sessions.issue({
    identity: { subject, ...(username !== undefined && { username }), methods },
    ...(credential !== undefined && { credential }),
    origin: requestSource(request),
    ...(supersedes !== undefined && { supersedes }),
  });
}

/**
 * Finds the id of the session that this browser or client has now. The refresh token may be another subject's: the
 * script that ends the session checks whose it is.
 */
export async function findCurrentSessionId(subject: string, request: FastifyRequest, { sessions, cookies }: Services) {
  const refresh = readRefreshToken(request, cookies);
  if (refresh) return sessions.parseRefreshToken(refresh.token)?.sessionId;
  const access = readAccessToken(request, cookies);
  const principal = access && (await sessions.authenticate(access.token));
  return principal?.subject === subject ? principal.sessionId : undefined;
}
