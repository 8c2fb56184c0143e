import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { type Form, parseForm } from '../kit/forms.js';
import { headersHook, SECURITY_HEADERS } from '../kit/headers.js';
import { oauthErrorHandler } from '../kit/oauth-error.js';
import { assertNeedsDeclared } from '../kit/route.js';
import { validatorCompiler } from '../kit/validator.js';
import { requireConfidential } from './clients.js';
import { addIntrospectionRoute } from './introspection.js';
import { addMetadataRoute } from './metadata.js';
import { addRevocationRoute } from './revocation.js';
import type { OAuthServices } from './services.js';
import { addTokenRoute } from './token.js';

/** Adds the OAuth endpoints, in an encapsulated Fastify instance. They take form-encoded bodies and ignore cookies. */
export async function oauthRoutes(instance: FastifyInstance, services: OAuthServices): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  app.decorateRequest('oauthClient', null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: unknown, body: string) => parseForm(body),
  );
  app.setErrorHandler(oauthErrorHandler);

  app.addHook('onRoute', assertNeedsDeclared);
  app.addHook('onRequest', headersHook({ ...SECURITY_HEADERS, pragma: 'no-cache' }));
  app.addHook('preHandler', async (request) => {
    const { needs } = request.routeOptions.config;
    if (needs === 'nothing') return;
    const client = services.clients.authenticate(request.headers.authorization, request.body as Form);
    if (needs === 'confidential-client') requireConfidential(client);
    request.oauthClient = client;
  });

  addTokenRoute(app, services);
  addIntrospectionRoute(app, services);
  addRevocationRoute(app, services);
  addMetadataRoute(app, services);
}
