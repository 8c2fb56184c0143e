import Fastify, { type FastifyInstance, LogController } from 'fastify';
import type { Config } from './config.js';
import { errorHandler, sendProblem } from './http/errors.js';
import { Problem } from './http/problem.js';
import { latchkey } from './plugin.js';
import { translatingFaults } from './redis/fault.js';
import type { RedisClient } from './redis/script.js';

const BODY_LIMIT = 16 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

export interface Clients {
  readonly lookups: RedisClient;
  readonly scripts: RedisClient;
}

export type AppConfig = Omit<Config, 'tokenKeys'> & { readonly tokenKeys: readonly [string, ...string[]] };

/** The service's public app: what the plugin adds, and an answer for every other path. */
export async function publicApp(config: AppConfig, clients: Clients): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.logLevel },
    logController: quiet(),
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    trustProxy: config.trustProxy ? [...config.trustProxy] : false,
    forceCloseConnections: 'idle',
  });
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));
  await app.register(latchkey, { ...config, redis: clients });
  return app;
}

/** The operator's app, for the internal listener: liveness never touches Redis, readiness does. */
export function internalApp({ logLevel }: AppConfig, { lookups, scripts }: Clients): FastifyInstance {
  const app = Fastify({ logger: { level: logLevel }, logController: quiet(), forceCloseConnections: 'idle' });
  app.setErrorHandler(errorHandler);
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));
  app.get('/livez', () => ({ status: 'alive' }));
  app.get('/readyz', async () => {
    await translatingFaults(() => Promise.all([lookups.ping(), scripts.ping()]));
    return { status: 'ready' };
  });
  return app;
}

/** Authentication events are logged, not each request. */
function quiet(): LogController {
  return new LogController({ disableRequestLogging: true });
}
