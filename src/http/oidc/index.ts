import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance } from 'fastify';
import type { Links } from '../../identity/links.js';
import type { Keys } from '../../redis/keys.js';
import type { RedisClient } from '../../redis/script.js';
import { enableCookies } from '../cookies.js';
import { errorHandler } from '../errors.js';
import { PROTECTIVE_HEADERS, sending } from '../headers.js';
import { parseForm } from '../oauth/form.js';
import { requireDeclaration } from '../route.js';
import type { Services } from '../services.js';
import { compileValidator } from '../validate.js';
import { backchannelLogout } from './backchannel.js';
import { callback } from './callback.js';
import { logout } from './logout.js';
import type { Providers } from './providers.js';
import { start } from './start.js';

/** What the routes for logging in with a provider stand on. */
export interface OidcServices extends Services {
  readonly providers: Providers;
  readonly links: Links;
  readonly redis: RedisClient;
  readonly keys: Keys;
  /** The absolute lifetime of a session. */
  readonly sessionLifetimeMs: number;
}

/** Adds the routes for logging in with an OpenID Connect provider to an instance of their own. */
export async function oidcRoutes(instance: FastifyInstance, services: OidcServices): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(compileValidator);
  await enableCookies(instance);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async (_request: unknown, body: string) => parseForm(body));
  app.setErrorHandler(errorHandler);
  app.addHook('onRoute', requireDeclaration);
  app.addHook('onRequest', sending(PROTECTIVE_HEADERS));
  start(app, services);
  callback(app, services);
  logout(app, services);
  backchannelLogout(app, services);
}
