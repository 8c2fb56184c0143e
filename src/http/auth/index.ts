import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { enableCookies } from '../kit/cookies.js';
import { requirePrincipal, requireUser } from '../flows/authenticate.js';
import { errorHandler, sendProblem } from '../kit/error-handler.js';
import { PROTECTIVE_HEADERS, sending } from '../kit/headers.js';
import { Problem } from '../kit/problem.js';
import { type App, requireDeclaration } from '../kit/route.js';
import { requireSameOrigin } from '../kit/same-origin.js';
import type { Services } from '../flows/services.js';
import { requireRecentAuthentication } from '../flows/step-up.js';
import { compileValidator } from '../kit/validator.js';
import { continueTo } from './continue.js';
import { links } from './links.js';
import { login } from './login.js';
import { logout } from './logout.js';
import { password } from './password.js';
import { refresh } from './refresh.js';
import { register } from './register.js';
import { session } from './session.js';
import { sessions } from './sessions.js';
import { verify } from './verify.js';

/** Adds the `/auth` routes to an instance of their own: their hooks and parsers touch no other route. */
export async function authRoutes(instance: FastifyInstance, services: Services): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(compileValidator);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));

  app.addHook('onRoute', requireDeclaration);
  app.addHook('onRoute', (route) => {
    if (route.config?.bodyIsOptional) route.preValidation = emptyBodyIsAnObject;
    if (route.config?.needs === 'session') route.onRequest = requireSession;
    if (route.config?.needs === 'user-session') route.onRequest = requireUserSession;
    if (route.config?.needs === 'recent-session') route.onRequest = requireRecentSession;
  });
  app.addHook('onRequest', sending(PROTECTIVE_HEADERS));
  app.addHook('onRequest', (request, _reply, done) => {
    requireSameOrigin(request, services);
    done();
  });

  const requireSession = (request: FastifyRequest) => requirePrincipal(request, services);
  const requireUserSession = (request: FastifyRequest) => requireUser(request, services);
  async function requireRecentSession(request: FastifyRequest) {
    await requireRecentAuthentication(request, await requireUser(request, services), services);
  }

  session(app);
  verify(app);
  // What is asked most often does not pay for writing cookies.
  await instance.register(async (writing) => {
    await enableCookies(writing);
    cookieWritingRoutes(writing.withTypeProvider<TypeBoxTypeProvider>(), services);
  });
}

function cookieWritingRoutes(app: App, services: Services): void {
  if (services.users) {
    register(app, services, services.users);
    password(app, services, services.users);
  }
  login(app, services);
  refresh(app, services);
  continueTo(app, services);
  logout(app, services);
  sessions(app, services);
  if (services.links) links(app, services, services.links);
}

function emptyBodyIsAnObject(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (request.body === undefined) request.body = {};
  done();
}
