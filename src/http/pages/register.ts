import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Registration } from '../../identity/registration.js';
import { login } from '../flows/login.js';
import { register } from '../flows/register.js';
import { admitInBatches } from '../kit/admission-queue.js';
import { logServerError, toProblem } from '../kit/error-handler.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { deliverTokens } from '../kit/token-response.js';
import { ACCOUNT_PATH, buildContext, findErrorText, type PagesOptions, sendPage } from './context.js';
import { type CredentialsPage, renderRegisterPage } from './credentials-pages.js';

const RegisterForm = Type.Object({ username: Type.String(), password: Type.String() }, { additionalProperties: false });

const USERNAME_PROBLEMS = new Set(['invalid_username', 'username_taken']);

/** Adds the registration page and its form. Submitting it also logs the user in. */
export function addRegisterPage(app: App, options: PagesOptions, registration: Registration): void {
  const { services, authPrefix, passwordMinLength: minimumLength } = options;
  const sendRegisterPage = (request: FastifyRequest, reply: FastifyReply, page: CredentialsPage, status?: number) =>
    sendPage(reply, renderRegisterPage(buildContext(request, options), { ...page, minimumLength }), status);

  app.get('/register', { config: { needs: 'nothing' } }, async (request, reply) => {
    if (services.registration === 'closed') throw new Problem('registration_closed');
    return sendRegisterPage(request, reply, {});
  });

  app.post(
    `${authPrefix}/form/register`,
    { config: { needs: 'nothing' }, onRequest: admitInBatches(), schema: { body: RegisterForm } },
    async (request, reply) => {
      try {
        await register(request, reply, services, registration, request.body);
        deliverTokens(reply, services.cookies, await login(request, reply, services, request.body), {
          transport: 'cookie',
        });
        return reply.redirect(ACCOUNT_PATH, 303);
      } catch (error) {
        const problem = toProblem(error);
        logServerError(error, problem, request, reply);
        const page = {
          error: findErrorText(buildContext(request, options).strings, problem),
          username: request.body.username,
          usernameIsWrong: USERNAME_PROBLEMS.has(problem.code),
        };
        return sendRegisterPage(request, reply.headers(problem.headers), page, problem.status);
      }
    },
  );
}
