import { Type } from '@sinclair/typebox';
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
  type RouteShorthandOptions,
} from 'fastify';
import { adminRoutes } from '../http/admin/index.js';
import { AdminKeys } from '../http/admin/keys.js';
import type { AuthEvent } from '../http/flows/audit.js';
import { clientErrorHandler, errorHandler, sendProblem } from '../http/kit/error-handler.js';
import { headersHook, HSTS_HEADER, SECURITY_HEADERS } from '../http/kit/headers.js';
import { Problem } from '../http/kit/problem.js';
import { internalDocumentation, publicDocumentation } from '../http/openapi/descriptions.js';
import { registerOpenApi } from '../http/openapi/document.js';
import { UserDirectory } from '../identity/directory.js';
import { type Latchkey, latchkey } from '../plugin.js';
import { callRedis } from '../redis/faults.js';
import { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import type { RedisClients } from '../sessions/authenticator.js';
import { Webhooks } from '../webhooks/webhooks.js';
import type { Config } from './config/load.js';
import { closeStalledConnections } from './stalled-connections.js';

const BODY_LIMIT = 16 * 1024;
/** A subject of 255 bytes, all percent-encoded. */
const MAX_PARAM_LENGTH = 3 * 255;
/** Deadline for a request to arrive completely. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How long a client may leave a response unread. */
const STALLED_TIMEOUT_MS = 30_000;
/** How long requests in progress may take after the app starts to close. */
const CLOSE_TIMEOUT_MS = 3_000;
/** How often Node looks for requests past their deadline. */
const TIMEOUT_CHECK_INTERVAL_MS = 2_000;

export type AppConfig = Omit<Config, 'tokenKeys'> & { readonly tokenKeys: readonly [string, ...string[]] };

/** Handles an authentication event. */
export type EventHandler = (event: AuthEvent) => void;

/** Builds the public app: the plugin's routes and pages, and a 404 problem for every other path. */
export async function buildPublicApp(
  config: AppConfig,
  clients: RedisClients,
  onEvent?: EventHandler,
): Promise<FastifyInstance> {
  const app = createApp({
    logger: { level: config.logLevel },
    trustProxy: config.trustProxy ? [...config.trustProxy] : false,
  });
  if (config.publicOrigins?.every((origin) => origin.startsWith('https:'))) {
    app.addHook('onRequest', headersHook(HSTS_HEADER));
  }
  await registerOpenApi(app, publicDocumentation);
  await app.register(latchkey, {
    ...config,
    oauthClients: config.oauthClients ?? [],
    pages: { name: config.brandName, stylesheet: config.brandStylesheet },
    redis: clients,
    onEvent: createReporter(app, onEvent),
  });
  return app;
}

/**
 * Builds the internal app: a liveness check, which does not use Redis, a readiness check, which does, and the admin API
 * if admin keys are configured.
 */
export async function buildInternalApp(
  config: AppConfig,
  clients: RedisClients,
  sessions: Latchkey,
  onEvent?: EventHandler,
): Promise<FastifyInstance> {
  const app = createApp({ logger: { level: config.logLevel }, routerOptions: { maxParamLength: MAX_PARAM_LENGTH } });
  app.addHook('onRequest', headersHook(SECURITY_HEADERS));
  await registerOpenApi(app, internalDocumentation);
  app.get('/livez', healthRoute('Whether the process is running', 'alive'), () => ({ status: 'alive' }));
  app.get('/readyz', healthRoute('Whether Redis responds', 'ready'), async () => {
    await callRedis(() => Promise.all(Object.values(clients).map((client: RedisClient) => client.ping())));
    return { status: 'ready' };
  });
  if (config.adminKeys) {
    const services = {
      sessions,
      users: new UserDirectory(clients.scripts, new RedisKeys(config.redisPrefix)),
      adminKeys: new AdminKeys(config.adminKeys),
      report: createReporter(app, onEvent),
    };
    await app.register((instance) => adminRoutes(instance, services), { prefix: '/admin' });
  }
  return app;
}

function healthRoute(summary: string, status: string): RouteShorthandOptions {
  const response = { 200: Type.Object({ status: Type.Literal(status) }) };
  return { config: { needs: 'nothing' }, schema: { summary, tags: ['health'], response } };
}

/** Creates the webhook sender of both apps; undefined if no endpoints are configured. */
export function createWebhooks(
  { webhooks, redisPrefix }: AppConfig,
  { scripts }: RedisClients,
  onFault: (error: Error) => void,
): Webhooks | undefined {
  return webhooks && new Webhooks(scripts, new RedisKeys(redisPrefix), webhooks, { onFault });
}

/** Creates a function that logs each event and passes it on. */
function createReporter({ log }: FastifyInstance, onEvent: EventHandler | undefined): EventHandler {
  return (event) => {
    log.info(event, `${event.event} ${event.outcome}`);
    onEvent?.(event);
  };
}

/** Creates an app that responds with a problem to every error, including Node's and Fastify's own. */
function createApp(options: FastifyServerOptions): FastifyInstance {
  const app = Fastify({
    ...options,
    // Log authentication events, but not requests.
    logController: new LogController({ disableRequestLogging: true }),
    // A logger for each request would only cost time: where the request matters, its id is logged explicitly.
    childLoggerFactory: (logger) => logger,
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // Requests that have arrived still get their response while the app closes.
    return503OnClosing: false,
    http: {
      // Node would silently ignore a second Authorization header; joined to the first, it is rejected as invalid.
      joinDuplicateHeaders: true,
      // Node's own response to a request without a Host header would lack the protective headers.
      requireHostHeader: false,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL_MS,
    },
    frameworkErrors: (error, request, reply) => void errorHandler(error, request, reply),
    clientErrorHandler,
  });
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    const lacksHost = raw.headers.host === undefined && raw.httpVersion === '1.1';
    done(lacksHost ? new Problem('invalid_request', { detail: 'The Host header is missing.' }) : undefined);
  });
  // Ignore unknown expectations (RFC 9110 section 10.1.1): Node's own 417 would lack the protective headers too.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  closeStalledConnections(app.server, STALLED_TIMEOUT_MS);
  // Connections that a browser has opened but not used yet do not count as idle, so close them by force.
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), CLOSE_TIMEOUT_MS).unref();
  });
  return app;
}
