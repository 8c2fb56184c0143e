import Fastify, { type FastifyInstance, type FastifyServerOptions, LogController } from 'fastify';
import type { Config } from './config.js';
import { publicDocumentation } from './http/documentation.js';
import { clientErrorHandler, errorHandler, sendProblem } from './http/errors.js';
import { PROTECTIVE_HEADERS, STRICT_TRANSPORT } from './http/headers.js';
import { documented } from './http/openapi.js';
import { Problem } from './http/problem.js';
import { latchkey } from './plugin.js';
import { translatingFaults } from './redis/fault.js';
import type { RedisClient } from './redis/script.js';

const BODY_LIMIT = 16 * 1024;
/** For a request to arrive whole, however slowly it dribbles in. */
const REQUEST_TIMEOUT_MS = 10_000;
/** For a connection to be silent in the midst of a request or an answer. */
const SILENCE_TIMEOUT_MS = 30_000;
/** How often Node looks for requests that are late. */
const TIMEOUT_CHECK_MS = 2_000;

export interface Clients {
  readonly lookups: RedisClient;
  readonly scripts: RedisClient;
}

export type AppConfig = Omit<Config, 'tokenKeys'> & { readonly tokenKeys: readonly [string, ...string[]] };

/** The service's public app: what the plugin adds, and an answer for every other path. */
export async function publicApp(config: AppConfig, clients: Clients): Promise<FastifyInstance> {
  const app = appWith({
    logger: { level: config.logLevel },
    trustProxy: config.trustProxy ? [...config.trustProxy] : false,
  });
  if (config.publicOrigins?.every((origin) => origin.startsWith('https:'))) {
    app.addHook('onRequest', async (_request, reply) => {
      reply.headers(STRICT_TRANSPORT);
    });
  }
  await documented(app, publicDocumentation);
  await app.register(latchkey, { ...config, oauthClients: config.oauthClients ?? [], redis: clients });
  return app;
}

/** The operator's app, for the internal listener: liveness never touches Redis, readiness does. */
export function internalApp({ logLevel }: AppConfig, { lookups, scripts }: Clients): FastifyInstance {
  const app = appWith({ logger: { level: logLevel } });
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(PROTECTIVE_HEADERS);
  });
  app.get('/livez', () => ({ status: 'alive' }));
  app.get('/readyz', async () => {
    await translatingFaults(() => Promise.all([lookups.ping(), scripts.ping()]));
    return { status: 'ready' };
  });
  return app;
}

/** An app whose every error is a problem, whatever it comes from. */
function appWith(options: FastifyServerOptions): FastifyInstance {
  const app = Fastify({
    ...options,
    // Authentication events are logged, not each request.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: SILENCE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // What has arrived is answered; only then the app closes.
    return503OnClosing: false,
    // A second Authorization header would be dropped in silence; joined to the first, it makes no token.
    http: { joinDuplicateHeaders: true, headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: TIMEOUT_CHECK_MS },
    frameworkErrors: errorHandler,
    clientErrorHandler,
  });
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));
  return app;
}
