import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { StaleCredentialError } from '../../sessions/errors.js';
import { challenge, readAccessToken, readRefreshToken } from '../kit/presented-tokens.js';
import { requestSource } from '../kit/device.js';
import { Problem } from '../kit/problem.js';
import { type AttemptDetails, reportDisplacedSessions, reportIfRefused } from './audit.js';
import type { Services, VerifiedUser } from './services.js';
import { disconnectSignal } from '../kit/abort-signal.js';

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
  const attempted: AttemptDetails = { event: 'login', address };
  const onKnown = (subject: string) => void (attempted.subject = subject);
  const tokens = await reportIfRefused(services, attempted, () =>
    retryIfCredentialChanged(async () => {
      const user = await throttle.guard({ username: credentials.username, address }, () =>
        verifyCredentials({ ...credentials, signal, onKnown }),
      );
      if (!user) throw new Problem('invalid_credentials', { headers: challenge() });
      return issueSession(user, request, services);
    }),
  );
  const { subject, sessionId } = tokens.principal;
  report({ event: 'login', outcome: 'success', subject, sessionId, address });
  reportDisplacedSessions(services, tokens, address);
  return tokens;
}

/** Tries once more if the stored hash changed meanwhile: the password was changed, or the same one hashed anew. */
async function retryIfCredentialChanged<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof StaleCredentialError) return attempt();
    throw error;
  }
}

async function issueSession(verified: VerifiedUser, request: FastifyRequest, services: Services) {
  const { subject, username, methods = ['pwd'], credential } = verified;
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
