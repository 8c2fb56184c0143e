import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IssuedTokens, Principal } from '../../sessions/session.js';
import { disconnectSignal } from '../kit/disconnect-signal.js';
import { challenge } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { requestSource } from '../kit/request-source.js';
import { reportFailure } from './audit.js';
import type { LocalUsers, Services } from './services.js';

/**
 * Changes a user's password, ends all of the user's sessions and starts a new one on this device.
 *
 * @throws {Problem} `invalid_credentials` if the current password is wrong.
 * @throws {PasswordNotAllowedError} if the new password is not allowed.
 * @throws {StaleCredentialError} if the password was changed, or the user disabled, in the meantime.
 * @throws {TooManyAttemptsError} if this network has had too many failed logins, for this username or in total.
 * @throws {UnavailableError} if Redis is unavailable or too many passwords are waiting to be hashed.
 */
export async function changePassword(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  { directory, passwords }: LocalUsers,
  { principal, currentPassword, newPassword }: { principal: Principal; currentPassword: string; newPassword: string },
): Promise<IssuedTokens> {
  const { subject, sessionId, scope, data } = principal;
  const { throttle, sessions, report } = services;
  const source = requestSource(request);
  const { address } = source;
  const signal = disconnectSignal(reply);
  const tokens = await reportFailure(services, { event: 'password_change', subject, sessionId, address }, async () => {
    // Wrong passwords count towards the limit of the login, since the password is the same.
    const username = (await directory.get(subject))?.username ?? '';
    const verification = await throttle.guard({ username, address }, () =>
      passwords.verifySubject(subject, currentPassword, signal),
    );
    if (!verification.verified)
      throw new Problem('invalid_credentials', { detail: 'The current password is wrong.', headers: challenge() });
    const credential = await passwords.hashNew(newPassword, verification.username, signal);
    // Any of the sessions may have been stolen, so all of them end and this device gets a new one.
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
