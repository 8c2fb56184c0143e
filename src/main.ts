import type { FastifyInstance } from 'fastify';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type AppConfig, internalApp, type OnEvent, publicApp, webhooksOf } from './app.js';
import { loadConfig } from './config.js';
import { LatchkeyError } from './errors.js';
import { webhookEvent } from './http/webhook-event.js';
import { connect, type RedisLocation, waitUntilReady } from './redis/connect.js';
import { startEmbeddedRedis } from './redis/embedded.js';
import { localTokenKey } from './token-key.js';

const REDIS_CONF = fileURLToPath(new URL('../redis.conf', import.meta.url));

try {
  await main();
} catch (error) {
  console.error(explained(error));
  process.exit(1);
}

/** Our own errors say what to do, and so can a taken port; anything else is shown as it is. */
function explained(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  return code === 'EADDRINUSE' ? `Port ${port} is in use: stop what listens there, or set PORT and INTERNAL_PORT` : error;
}

async function main(): Promise<void> {
  const given = loadConfig(process.env);
  for (const warning of given.warnings) console.warn(`Warning: ${warning}`);

  const embedded = given.redis
    ? undefined
    : await startEmbeddedRedis({ dataDirectory: given.dataDirectory, configFile: REDIS_CONF, log: console.log });
  const location: RedisLocation = given.redis ?? {
    kind: 'unix',
    path: embedded!.socketPath,
    username: undefined,
    password: undefined,
  };
  const [first, ...rest] = given.tokenKeys ?? [await localTokenKey(given.dataDirectory)];
  const config: AppConfig = { ...given, tokenKeys: [first!, ...rest] };

  let onError: (error: Error) => void = (error) => console.error(error.message);
  const clientNamed = (name: string) =>
    connect(location, { timeoutMs: config.redisTimeoutMs, name, onError: (error) => onError(error) });
  const clients = { lookups: clientNamed('latchkey-lookups'), scripts: clientNamed('latchkey-scripts') };
  await Promise.all(Object.values(clients).map((client) => waitUntilReady(client, config.redisTimeoutMs)));

  const webhooks = webhooksOf(config, clients, (error) => onError(error));
  const onEvent: OnEvent = (event) => webhooks?.publish(webhookEvent(event));
  const app = await publicApp(config, clients, onEvent);
  onError = (error) => app.log.warn({ err: error }, error.message);
  const internal = await internalApp(config, clients, app.latchkey, onEvent);

  let stopping: Promise<void> | undefined;
  const stop = (exitCode: number) => {
    stopping ??= (async () => {
      await Promise.all([app.close(), internal.close()]);
      await webhooks?.close();
      Object.values(clients).forEach((client) => client.disconnect());
      await embedded?.stop();
      process.exit(exitCode);
    })();
  };
  process.once('SIGINT', () => stop(0));
  process.once('SIGTERM', () => stop(0));
  void embedded?.exited.then((failure) => {
    if (!failure) return;
    console.error(failure.message);
    stop(1);
  });

  await app.listen({ port: config.port, host: config.host });
  await internal.listen({ port: config.internalPort, host: config.internalHost });
  greet(app, location);
}

function greet(app: FastifyInstance, location: RedisLocation): void {
  const { port } = app.server.address() as AddressInfo;
  const url = `http://localhost:${port}`;
  const json = "-H 'content-type: application/json'";
  console.log(`
latchkey is ready at ${url}
${location.kind === 'unix' ? `Its own Redis: redis-cli -s ${location.path}\n` : ''}
Try next:
  curl ${url}/auth/register ${json} -d '{"username":"ada","password":"correct horse battery staple"}'
  curl ${url}/auth/login ${json} -d '{"username":"ada","password":"correct horse battery staple","transport":"bearer"}'
  curl ${url}/auth/session -H "Authorization: Bearer $ACCESS_TOKEN"
  npm run tour
`);
}
