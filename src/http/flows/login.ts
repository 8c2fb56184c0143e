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
 * Verifies a user and begins a session, which ends the one that this client had of the same user.
 *
 * @throws {Problem} `invalid_credentials`, whichever half is wrong.
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

/** Once more if the stored hash changed meanwhile: to that of another password, or of the same one hashed anew. */
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

/** The session that this browser or client has now; the script that ends it checks that it is of the same subject. */
export async function findCurrentSessionId(subject: string, request: FastifyRequest, { sessions, cookies }: Services) {
  const refresh = readRefreshToken(request, cookies);
  if (refresh) return sessions.parseRefreshToken(refresh.token)?.sessionId;
  const access = readAccessToken(request, cookies);
  const principal = access && (await sessions.authenticate(access.token));
  return principal?.subject === subject ? principal.sessionId : undefined;
}
