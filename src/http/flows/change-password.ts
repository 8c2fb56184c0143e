import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens, Principal } from '../../sessions/session.js';
import { challenge } from '../kit/presented-tokens.js';
import { requestSource } from '../kit/request-source.js';
import { Problem } from '../kit/problem.js';
import { reportFailure } from './audit.js';
import type { LocalUsers, Services } from './services.js';
import { disconnectSignal } from '../kit/disconnect-signal.js';

/**
 * Changes a user's password and ends every session of the user; this device gets a new one.
 *
 * @throws {Problem} `invalid_credentials` when the current password is wrong.
 * @throws {PasswordNotAllowedError} {@link TooManyAttemptsError} {@link UnavailableError}
 */
export async function changePassword(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  { directory, passwords }: LocalUsers,
  { principal, current, replacement }: { principal: Principal; current: string; replacement: string },
): Promise<IssuedTokens> {
  const { subject, sessionId, scope, data } = principal;
  const { throttle, sessions, report } = services;
  const source = requestSource(request);
  const { address } = source;
  const signal = disconnectSignal(reply);
  const tokens = await reportFailure(services, { event: 'password_change', subject, sessionId, address }, async () => {
    // Wrong guesses count towards the limit of the login, since the password is the same.
    const username = (await directory.get(subject))?.username ?? '';
    const verification = await throttle.guard({ username, address }, () =>
      passwords.verifySubject(subject, current, signal),
    );
    if (!verification.verified)
      throw new Problem('invalid_credentials', { detail: 'The current password is wrong.', headers: challenge() });
    const credential = await passwords.hashNew(replacement, verification.username, signal);
    // No earlier session survives, stolen or not; this device gets one that belongs to the new credential.
    await sessions.revokeAll(subject, {
      reason: 'password_changed',
      credential: { verified: verification.credential, replacement: credential },
    });
    return sessions.issue({
      identity: {
        subject,
        username: verification.username,
        methods: ['pwd'],
        ...(scope !== undefined && { scope }),
        ...(data && { data }),
      },
      credential,
      origin: source,
    });
  });
  report({ event: 'password_change', outcome: 'success', subject, sessionId: tokens.principal.sessionId, address });
  return tokens;
}
