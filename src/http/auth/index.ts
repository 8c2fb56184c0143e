import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { enableCookies } from '../kit/cookies.js';
import { authenticateRequest, requireRecentAuthentication, requireUserSession } from '../flows/guards.js';
import { errorHandler, sendProblem } from '../kit/error-handler.js';
import { PROTECTIVE_HEADERS, headersHook } from '../kit/headers.js';
import { Problem } from '../kit/problem.js';
import { type App, assertNeedsDeclared } from '../kit/route.js';
import { requireSameOrigin } from '../kit/same-origin.js';
import type { Services } from '../flows/services.js';
import { validatorCompiler } from '../kit/validator.js';
import { continueRoute } from './continue.js';
import { linkRoutes } from './links.js';
import { loginRoute } from './login.js';
import { logoutRoute } from './logout.js';
import { passwordRoute } from './password.js';
import { refresh } from './refresh.js';
import { registerRoute } from './register.js';
import { currentSessionRoute, sessionRoutes } from './sessions.js';
import { verifyRoute } from './verify.js';

/** Adds the `/auth` routes to an encapsulated instance: their hooks and parsers affect no other route. */
export async function authRoutes(instance: FastifyInstance, services: Services): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));

  app.addHook('onRoute', assertNeedsDeclared);
  app.addHook('onRoute', (route) => {
    if (route.config?.bodyIsOptional) route.preValidation = emptyBodyIsAnObject;
    if (route.config?.needs === 'session') route.onRequest = (request) => authenticateRequest(request, services);
    if (route.config?.needs === 'user-session') route.onRequest = (request) => requireUserSession(request, services);
    if (route.config?.needs === 'recent-session') {
      route.onRequest = async (request) => {
        await requireRecentAuthentication(request, await requireUserSession(request, services), services);
      };
    }
  });
  app.addHook('onRequest', headersHook(PROTECTIVE_HEADERS));
  app.addHook('onRequest', (request, _reply, done) => {
    requireSameOrigin(request, services);
    done();
  });

  currentSessionRoute(app);
  verifyRoute(app);
  // Writing cookies costs time, so the busiest routes are registered without it.
  await instance.register(async (scope) => {
    await enableCookies(scope);
    cookieWritingRoutes(scope.withTypeProvider<TypeBoxTypeProvider>(), services);
  });
}

function cookieWritingRoutes(app: App, services: Services): void {
  if (services.users) {
    registerRoute(app, services, services.users.registration);
    passwordRoute(app, services, services.users);
  }
  loginRoute(app, services);
  refresh(app, services);
  continueRoute(app, services);
  logoutRoute(app, services);
  sessionRoutes(app, services);
  if (services.links) linkRoutes(app, services, services.links);
}

function emptyBodyIsAnObject(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (request.body === undefined) request.body = {};
  done();
}
