import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { login } from '../flows/login.js';
import { admitInBatches } from '../kit/admission-queue.js';
import { logServerError, toProblem } from '../kit/error-handler.js';
import { MAX_PATH_LENGTH, requireLocalPath } from '../kit/local-path.js';
import type { App } from '../kit/route.js';
import { deliverTokens } from '../kit/token-response.js';
import { ACCOUNT_PATH, buildContext, findErrorText, findText, type PagesOptions, sendPage } from './context.js';
import { type CredentialsPage, renderLoginPage } from './credentials-pages.js';
import { findCurrentUser } from './current-user.js';

const Query = Type.Object({
  reason: Type.Optional(Type.String()),
  to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })),
});
const LoginForm = Type.Object(
  { username: Type.String(), password: Type.String(), to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })) },
  { additionalProperties: false },
);

/** Adds the login page and its form. */
export function addLoginPage(app: App, options: PagesOptions): void {
  const { services, authPrefix, providers } = options;
  const sendLoginPage = (request: FastifyRequest, reply: FastifyReply, page: CredentialsPage, status?: number) => {
    const registration = services.users !== undefined && services.registration === 'open';
    return sendPage(
      reply,
      renderLoginPage(buildContext(request, options), { ...page, providers, registration }),
      status,
    );
  };

  app.get('/login', { config: { needs: 'nothing' }, schema: { querystring: Query } }, async (request, reply) => {
    const { reason, to } = request.query;
    const destination = to === undefined ? undefined : requireLocalPath(to);
    const user = await findCurrentUser(request, services);
    if (user && reason === undefined) return reply.redirect(destination ?? ACCOUNT_PATH, 303);
    const info = findText(buildContext(request, options).strings.reasons, reason);
    return sendLoginPage(request, reply, {
      info,
      username: user?.username,
      returnTo: destination,
      reauthenticate: reason === 'insufficient_user_authentication',
    });
  });

  app.post(
    `${authPrefix}/form/login`,
    { config: { needs: 'nothing' }, onRequest: admitInBatches(), schema: { body: LoginForm } },
    async (request, reply) => {
      const { to, ...credentials } = request.body;
      const destination = to === undefined ? ACCOUNT_PATH : requireLocalPath(to);
      try {
        deliverTokens(reply, services.cookies, await login(request, reply, services, credentials), {
          transport: 'cookie',
        });
        return reply.redirect(destination, 303);
      } catch (error) {
        const problem = toProblem(error);
        logServerError(error, problem, request, reply);
        const page = {
          error: findErrorText(buildContext(request, options).strings, problem),
          username: credentials.username,
          returnTo: to,
        };
        return sendLoginPage(request, reply.headers(problem.headers), page, problem.status);
      }
    },
  );
}
