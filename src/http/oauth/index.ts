import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import { PROTECTIVE_HEADERS, sending } from '../headers.js';
import { requireDeclaration } from '../route.js';
import type { Services } from '../services.js';
import { compileValidator } from '../validate.js';
import { type OAuthClient, type OAuthClients, requireConfidential } from './clients.js';
import { oauthErrorHandler } from './errors.js';
import { type Form, parseForm } from './form.js';
import { introspect } from './introspect.js';
import { metadata } from './metadata.js';
import { revoke } from './revoke.js';
import { token } from './token.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The OAuth client that authenticated; null where the route does not need one. */
    oauthClient: OAuthClient | null;
  }
}

/** What the OAuth endpoints stand on. */
export interface OAuthServices extends Pick<Services, 'sessions' | 'origins' | 'report'> {
  readonly clients: OAuthClients;
}

/** Adds the OAuth endpoints to an instance of their own. They take form-encoded bodies and never look at a cookie. */
export async function oauthRoutes(instance: FastifyInstance, services: OAuthServices): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(compileValidator);
  app.decorateRequest('oauthClient', null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async (_request: unknown, body: string) => parseForm(body));
  app.setErrorHandler(oauthErrorHandler);

  app.addHook('onRoute', requireDeclaration);
  app.addHook('onRequest', sending({ ...PROTECTIVE_HEADERS, pragma: 'no-cache' }));
  app.addHook('preHandler', async (request) => {
    const { needs } = request.routeOptions.config;
    if (needs === 'nothing') return;
    const client = services.clients.authenticate(request.headers.authorization, request.body as Form);
    if (needs === 'confidential-client') requireConfidential(client);
    request.oauthClient = client;
  });

  token(app, services);
  introspect(app, services);
  revoke(app, services);
  metadata(app, services);
}
