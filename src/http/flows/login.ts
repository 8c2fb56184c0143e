import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { StaleCredentialError } from '../../sessions/store.js';
import { challenge, presentedAccessToken, presentedRefreshToken } from '../kit/presented-tokens.js';
import { originOf } from '../kit/device.js';
import { Problem } from '../kit/problem.js';
import { type Attempted, reportDisplacedSessions, reportingRefusal } from './audit.js';
import type { Services, Verified } from './services.js';
import { abortedWith } from '../kit/abort-signal.js';

/**
 * Verifies a user and begins a session, which ends the one that this client had of the same user.
 *
 * @throws {Problem} `invalid_credentials`, whichever half is wrong.
 * @throws {TooManyAttemptsError} {@link UnavailableError}
 */
export async function logIn(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  credentials: { readonly username: string; readonly password: string },
): Promise<IssuedTokens> {
  const { verifyCredentials, throttle, report } = services;
  const address = request.ip;
  const signal = abortedWith(reply);
  const attempted: Attempted = { event: 'login', address };
  const onKnown = (subject: string) => void (attempted.subject = subject);
  const tokens = await reportingRefusal(services, attempted, () =>
    verifiedAnew(async () => {
      const user = await throttle.guard({ username: credentials.username, address }, () =>
        verifyCredentials({ ...credentials, signal, onKnown }),
      );
      if (!user) throw new Problem('invalid_credentials', { headers: challenge() });
      return issueTo(user, request, services);
    }),
  );
  const { subject, sessionId } = tokens.principal;
  report({ event: 'login', outcome: 'success', subject, sessionId, address });
  reportDisplacedSessions(services, tokens, address);
  return tokens;
}

/** Once more if the stored hash changed meanwhile: to that of another password, or of the same one hashed anew. */
async function verifiedAnew<T>(logIn: () => Promise<T>): Promise<T> {
  try {
    return await logIn();
  } catch (error) {
    if (error instanceof StaleCredentialError) return logIn();
    throw error;
  }
}

async function issueTo(verified: Verified, request: FastifyRequest, services: Services) {
  const { subject, username, methods = ['pwd'], credential } = verified;
  const supersedes = await livingSession(subject, request, services);
  return services.sessions.issue({
    identity: { subject, ...(username !== undefined && { username }), methods },
    ...(credential !== undefined && { credential }),
    origin: originOf(request),
    ...(supersedes !== undefined && { supersedes }),
  });
}

/** The session that this browser or client has now; the script that ends it checks that it is of the same subject. */
export async function livingSession(subject: string, request: FastifyRequest, { sessions, cookies }: Services) {
  const refresh = presentedRefreshToken(request, cookies);
  if (refresh) return sessions.parseRefreshToken(refresh.token)?.sessionId;
  const access = presentedAccessToken(request, cookies);
  const principal = access && (await sessions.authenticate(access.token));
  return principal?.subject === subject ? principal.sessionId : undefined;
}
