import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { asProblem, logFault } from '../kit/error-handler.js';
import { inTurn } from '../kit/admission-queue.js';
import { localPath } from '../kit/local-path.js';
import { logIn } from '../flows/login.js';
import type { App } from '../kit/route.js';
import { handOver } from '../kit/token-response.js';
import { type CredentialsPage, renderLoginPage } from './credentials-pages.js';
import { ACCOUNT, buildContext, findErrorText, findText, type PagesOptions, sendPage, findVisitor } from './pages.js';

const Query = Type.Object({
  reason: Type.Optional(Type.String()),
  to: Type.Optional(Type.String({ maxLength: 2048 })),
});
const Form = Type.Object(
  { username: Type.String(), password: Type.String(), to: Type.Optional(Type.String({ maxLength: 2048 })) },
  { additionalProperties: false },
);

export function addLoginPage(app: App, options: PagesOptions): void {
  const { services, base, providers } = options;
  const show = (request: FastifyRequest, reply: FastifyReply, page: CredentialsPage, status?: number) => {
    const registration = services.users !== undefined && services.registration === 'open';
    return sendPage(
      reply,
      renderLoginPage(buildContext(request, options), { ...page, providers, registration }),
      status,
    );
  };

  app.get('/login', { config: { needs: 'nothing' }, schema: { querystring: Query } }, async (request, reply) => {
    const { reason, to } = request.query;
    const destination = to === undefined ? undefined : localPath(to);
    const visitor = await findVisitor(request, services);
    if (visitor && reason === undefined) return reply.redirect(destination ?? ACCOUNT, 303);
    const info = findText(buildContext(request, options).strings.reasons, reason);
    return show(request, reply, {
      info,
      username: visitor?.username,
      to: destination,
      again: reason === 'insufficient_user_authentication',
    });
  });

  app.post(
    `${base}/form/login`,
    { config: { needs: 'nothing' }, onRequest: inTurn(), schema: { body: Form } },
    async (request, reply) => {
      const { to, ...credentials } = request.body;
      const destination = to === undefined ? ACCOUNT : localPath(to);
      try {
        handOver(reply, services.cookies, await logIn(request, reply, services, credentials), { transport: 'cookie' });
        return reply.redirect(destination, 303);
      } catch (error) {
        const problem = asProblem(error);
        logFault(error, problem, request, reply);
        const page = {
          error: findErrorText(buildContext(request, options).strings, problem),
          username: credentials.username,
          to,
        };
        return show(request, reply.headers(problem.headers), page, problem.status);
      }
    },
  );
}
