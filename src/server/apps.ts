import { Type } from '@sinclair/typebox';
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
  type RouteShorthandOptions,
} from 'fastify';
import type { Config } from './config/load.js';
import { adminRoutes } from '../http/admin/index.js';
import { AdminKeys } from '../http/admin/keys.js';
import { internalDocumentation, publicDocumentation } from '../http/openapi/descriptions.js';
import { clientErrorHandler, errorHandler, sendProblem } from '../http/kit/error-handler.js';
import { PROTECTIVE_HEADERS, headersHook, STRICT_TRANSPORT } from '../http/kit/headers.js';
import { registerOpenApi } from '../http/openapi/document.js';
import { Problem } from '../http/kit/problem.js';
import type { AuthEvent } from '../http/flows/audit.js';
import { closeStalledConnections } from './slow-readers.js';
import { UserDirectory } from '../identity/directory.js';
import { type Latchkey, latchkey } from '../plugin.js';
import { callRedis } from '../redis/faults.js';
import { Keys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import type { RedisClients } from '../sessions/authenticator.js';
import { Webhooks } from '../webhooks/webhooks.js';

const BODY_LIMIT = 16 * 1024;
/** Of a subject in a path: 255 bytes, each percent-encoded. */
const MAX_PARAM_LENGTH = 3 * 255;
/** For a request to arrive whole, however slowly it dribbles in. */
const REQUEST_TIMEOUT_MS = 10_000;
/** For a client to take an answer that it has asked for. */
const UNREAD_TIMEOUT_MS = 30_000;
/** For what is under way to end once the app is to close. */
const CLOSING_MS = 3_000;
/** How often Node looks for requests that are late. */
const TIMEOUT_CHECK_MS = 2_000;

export type AppConfig = Omit<Config, 'tokenKeys'> & { readonly tokenKeys: readonly [string, ...string[]] };

/** Told of every authentication event, beside the log. */
export type OnEvent = (event: AuthEvent) => void;

/** The service's public app: what the plugin adds, and an answer for every other path. */
export async function publicApp(config: AppConfig, clients: RedisClients, onEvent?: OnEvent): Promise<FastifyInstance> {
  const app = appWith({
    logger: { level: config.logLevel },
    trustProxy: config.trustProxy ? [...config.trustProxy] : false,
  });
  if (config.publicOrigins?.every((origin) => origin.startsWith('https:'))) {
    app.addHook('onRequest', headersHook(STRICT_TRANSPORT));
  }
  await registerOpenApi(app, publicDocumentation);
  await app.register(latchkey, {
    ...config,
    oauthClients: config.oauthClients ?? [],
    pages: { name: config.brandName, stylesheet: config.brandStylesheet },
    redis: clients,
    onEvent: reporting(app, onEvent),
  });
  return app;
}

/** The operator's app, for the internal listener: liveness never touches Redis, readiness does; and the admin API, if it has keys. */
export async function internalApp(
  config: AppConfig,
  clients: RedisClients,
  sessions: Latchkey,
  onEvent?: OnEvent,
): Promise<FastifyInstance> {
  const app = appWith({ logger: { level: config.logLevel }, routerOptions: { maxParamLength: MAX_PARAM_LENGTH } });
  app.addHook('onRequest', headersHook(PROTECTIVE_HEADERS));
  await registerOpenApi(app, internalDocumentation);
  app.get('/livez', health('Whether the process lives', 'alive'), () => ({ status: 'alive' }));
  app.get('/readyz', health('Whether Redis answers', 'ready'), async () => {
    await callRedis(() => Promise.all(Object.values(clients).map((client: RedisClient) => client.ping())));
    return { status: 'ready' };
  });
  if (config.adminKeys) {
    const services = {
      sessions,
      users: new UserDirectory(clients.scripts, new Keys(config.redisPrefix)),
      adminKeys: new AdminKeys(config.adminKeys),
      report: reporting(app, onEvent),
    };
    await app.register((instance) => adminRoutes(instance, services), { prefix: '/admin' });
  }
  return app;
}

function health(summary: string, status: string): RouteShorthandOptions {
  const response = { 200: Type.Object({ status: Type.Literal(status) }) };
  return { config: { needs: 'nothing' }, schema: { summary, tags: ['health'], response } };
}

/** Sends the events of both apps to the configured endpoints, until it is closed. */
export function webhooksOf(
  { webhooks, redisPrefix }: AppConfig,
  { scripts }: RedisClients,
  onFault: (error: Error) => void,
): Webhooks | undefined {
  return webhooks && new Webhooks(scripts, new Keys(redisPrefix), webhooks, { onFault });
}

/** Logs each event and passes it on. */
function reporting({ log }: FastifyInstance, onEvent: OnEvent | undefined): OnEvent {
  return (event) => {
    log.info(event, `${event.event} ${event.outcome}`);
    onEvent?.(event);
  };
}

/** An app whose every error is a problem, whatever it comes from. */
function appWith(options: FastifyServerOptions): FastifyInstance {
  const app = Fastify({
    ...options,
    // Authentication events are logged, not each request.
    logController: new LogController({ disableRequestLogging: true }),
    // Nor does each request get a logger of its own: what is logged names its request where that matters.
    childLoggerFactory: (logger) => logger,
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // What has arrived is answered; only then the app closes.
    return503OnClosing: false,
    // A second Authorization header would be dropped in silence; joined to the first, it makes no token.
    // Node's own refusal of a request without a host would be an answer without our headers.
    http: {
      joinDuplicateHeaders: true,
      requireHostHeader: false,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
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
  // An expectation that Node does not know is ignored (RFC 9110 section 10.1.1), for the same reason.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  closeStalledConnections(app.server, UNREAD_TIMEOUT_MS);
  // A connection that a browser opened ahead and says nothing on does not count as idle.
  app.addHook('preClose', async () => {
    setTimeout(() => app.server.closeAllConnections(), CLOSING_MS).unref();
  });
  return app;
}
