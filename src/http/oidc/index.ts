import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { enableCookies } from '../kit/cookies.js';
import { errorHandler } from '../kit/error-handler.js';
import { parseForm } from '../kit/forms.js';
import { headersHook, SECURITY_HEADERS } from '../kit/headers.js';
import { assertNeedsDeclared } from '../kit/route.js';
import { validatorCompiler } from '../kit/validator.js';
import { addBackchannelLogoutRoute } from './backchannel-logout.js';
import { addCallbackRoute } from './callback.js';
import { addLogoutRoute } from './logout.js';
import type { OidcServices } from './services.js';
import { addStartRoute } from './start.js';

/** Adds the routes for logging in with an OpenID Connect provider, in an encapsulated Fastify instance. */
export async function oidcRoutes(instance: FastifyInstance, services: OidcServices): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  await enableCookies(instance);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: unknown, body: string) => parseForm(body),
  );
  app.setErrorHandler(errorHandler);
  app.addHook('onRoute', assertNeedsDeclared);
  app.addHook('onRequest', headersHook(SECURITY_HEADERS));
  addStartRoute(app, services);
  addCallbackRoute(app, services);
  addLogoutRoute(app, services);
  addBackchannelLogoutRoute(app, services);
}
