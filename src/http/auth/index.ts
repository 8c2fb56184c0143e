import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import { authenticateRequest, requireRecentAuthentication, requireUserSession } from '../flows/guards.js';
import type { Services } from '../flows/services.js';
import { enableCookies } from '../kit/cookies.js';
import { errorHandler, sendProblem } from '../kit/error-handler.js';
import { headersHook, SECURITY_HEADERS } from '../kit/headers.js';
import { Problem } from '../kit/problem.js';
import { type App, assertNeedsDeclared, type Needs } from '../kit/route.js';
import { rejectCrossSiteRequest } from '../kit/same-origin.js';
import { validatorCompiler } from '../kit/validator.js';
import { addContinueRoute } from './continue.js';
import { addLinkRoutes } from './links.js';
import { addLoginRoute } from './login.js';
import { addLogoutRoute } from './logout.js';
import { addPasswordRoute } from './password.js';
import { addRefreshRoute } from './refresh.js';
import { addRegisterRoute } from './register.js';
import { addCurrentSessionRoute, addSessionRoutes } from './sessions.js';
import { addVerifyRoute } from './verify.js';

/** Adds the `/auth` routes to an encapsulated instance: their hooks and parsers affect no other route. */
export async function addAuthRoutes(instance: FastifyInstance, services: Services): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));

  app.addHook('onRoute', assertNeedsDeclared);
  app.addHook('onRoute', (route) => {
    // A route may have hooks already: its own, or those of the host application, such as a rate limit.
    route.onRequest = [route.onRequest ?? [], authenticationHooks(route.config?.needs, services)].flat();
    if (route.config?.bodyIsOptional)
      route.preValidation = [route.preValidation ?? [], defaultBodyToEmptyObject].flat();
  });
  app.addHook('onRequest', headersHook(SECURITY_HEADERS));
  app.addHook('onRequest', (request, _reply, done) => {
    rejectCrossSiteRequest(request, services);
    done();
  });

  addCurrentSessionRoute(app);
  addVerifyRoute(app);
  // Writing cookies costs time for each request, so the busiest routes are registered without it.
  await instance.register(async (scope) => {
    await enableCookies(scope);
    cookieWritingRoutes(scope.withTypeProvider<TypeBoxTypeProvider>(), services);
  });
}

function cookieWritingRoutes(app: App, services: Services): void {
  if (services.users) {
    addRegisterRoute(app, services, services.users.registration);
    addPasswordRoute(app, services, services.users);
  }
  addLoginRoute(app, services);
  addRefreshRoute(app, services);
  addContinueRoute(app, services);
  addLogoutRoute(app, services);
  addSessionRoutes(app, services);
  if (services.links) addLinkRoutes(app, services, services.links);
}

/** The hooks that check what a route needs. */
function authenticationHooks(needs: Needs | undefined, services: Services): onRequestAsyncHookHandler[] {
  switch (needs) {
    case 'session':
      return [(request) => authenticateRequest(request, services)];
    case 'user-session':
      return [(request) => requireUserSession(request, services)];
    case 'recent-session':
      return [
        async (request) => requireRecentAuthentication(request, await requireUserSession(request, services), services),
      ];
    default:
      return [];
  }
}

function defaultBodyToEmptyObject(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (request.body === undefined) request.body = {};
  done();
}
