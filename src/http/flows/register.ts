import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Registration } from '../../identity/registration.js';
import { disconnectSignal } from '../kit/disconnect-signal.js';
import { Problem } from '../kit/problem.js';
import { reportFailure } from './audit.js';
import type { Services } from './services.js';

/**
 * Registers a user, if registration is open.
 *
 * @throws {Problem} `registration_closed`
 * @throws {TooManyAttemptsError} if this network has registered too many users.
 * @throws {InvalidUsernameError} if the username is not allowed.
 * @throws {UsernameTakenError} if another user has the username.
 * @throws {PasswordNotAllowedError} if the password is not allowed.
 * @throws {UnavailableError} if Redis is unavailable or too many passwords are waiting to be hashed.
 */
export async function register(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
  registration: Registration,
  credentials: { readonly username: string; readonly password: string },
): Promise<{ subject: string; username: string }> {
  const address = request.ip;
  const user = await reportFailure(services, { event: 'register', address }, async () => {
    if (services.registration === 'closed') throw new Problem('registration_closed');
    await services.throttle.admitRegistration(address);
    return registration.register({ ...credentials, signal: disconnectSignal(reply) });
  });
  services.report({ event: 'register', outcome: 'success', subject: user.subject, address });
  return user;
}
