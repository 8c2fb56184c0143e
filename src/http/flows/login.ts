import type { FastifyReply, FastifyRequest } from 'fastify';
import { StaleCredentialError } from '../../sessions/errors.js';
import type { IssuedTokens } from '../../sessions/session.js';
import { disconnectSignal } from '../kit/disconnect-signal.js';
import { challenge, readAccessToken, readRefreshToken } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { requestSource } from '../kit/request-source.js';
import { reportDisplacedSessions, reportFailure } from './audit.js';
import type { Services } from './services.js';
import type { Verification } from './verify-credentials.js';

/**
 * Verifies a user's credentials and issues a session. It replaces the session that this client already has for the same
 * user, if any.
 *
 * @throws {Problem} `invalid_credentials` if the username or the password is wrong, without saying which.
 * @throws {StaleCredentialError} if the stored password hash changed twice during the login, or the user is disabled.
 * @throws {TooManyAttemptsError} if this network has had too many failed logins, for this username or in total.
 * @throws {UnavailableError} if Redis is unavailable or too many passwords are waiting to be hashed.
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

  const details = { event: 'login', address } as const;
  const verification = await reportFailure(services, details, verify);
  const detailsWithSubject = {
    ...details,
    ...(verification.subject !== undefined && { subject: verification.subject }),
  };
  const tokens = await reportFailure(services, detailsWithSubject, async () => {
    try {
      return await issueSession(verification, request, services);
    } catch (error) {
      if (!(error instanceof StaleCredentialError)) throw error;
      // The stored hash changed while it was verified: the password was changed or rehashed, or the user disabled.
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
 * Returns the id of the session that this client currently has, if any. With a refresh token it may belong to another
 * subject: the script that replaces it checks that.
 */
export async function findCurrentSessionId(subject: string, request: FastifyRequest, { sessions, cookies }: Services) {
  const refresh = readRefreshToken(request, cookies);
  if (refresh) return sessions.parseRefreshToken(refresh.token)?.sessionId;
  const access = readAccessToken(request, cookies);
  const principal = access && (await sessions.authenticate(access.token));
  return principal?.subject === subject ? principal.sessionId : undefined;
}
