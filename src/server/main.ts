import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { AppConfig } from './apps.js';
import { loadConfig } from './config/load.js';
import { LatchkeyError } from '../errors.js';
import type { RedisLocation } from '../redis/connect.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../redis/embedded/embedded-redis.js';
import { type RunningService, serve } from './serve.js';
import { readOrCreateTokenKey } from './token-key-file.js';
import { reportServing, superviseWorkers } from './workers.js';

const REDIS_CONF = fileURLToPath(new URL('../../redis.conf', import.meta.url));

try {
  await main();
} catch (error) {
  console.error(explain(error));
  process.exit(1);
}

/** Our own errors and a port in use get a message that says what to do. Any other error is shown with its stack. */
function explain(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  return code === 'EADDRINUSE'
    ? `Port ${port} is in use: stop what listens there, or set PORT and INTERNAL_PORT`
    : error;
}

async function main(): Promise<void> {
  const loaded = loadConfig(process.env);
  if (cluster.isPrimary) for (const warning of loaded.warnings) console.warn(`Warning: ${warning}`);

  const embedded = loaded.redis
    ? undefined
    : await startEmbeddedRedis({ dataDirectory: loaded.dataDirectory, configFile: REDIS_CONF, log: console.log });
  const [first, ...rest] = loaded.tokenKeys ?? [await readOrCreateTokenKey(loaded.dataDirectory)];
  const config: AppConfig = { ...loaded, tokenKeys: [first!, ...rest] };

  const running =
    cluster.isPrimary && config.workers > 1
      ? await superviseWorkers(
          config.workers,
          embedded ? { REDIS_URL: `unix://${embedded.socketPath.split('/').map(encodeURIComponent).join('/')}` } : {},
        )
      : await serve(config, loaded.redis ?? toLocation(embedded!));
  stopOnSignal(running, embedded);
  if (cluster.isPrimary) greet(running.port, embedded);
  else reportServing(running.port);
}

function toLocation({ socketPath }: EmbeddedRedis): RedisLocation {
  return { kind: 'unix', path: socketPath, username: undefined, password: undefined };
}

/** Stops the service and then its Redis, on a signal or when that Redis ends. */
function stopOnSignal(running: RunningService, embedded: EmbeddedRedis | undefined): void {
  let stopping: Promise<void> | undefined;
  const stop = (exitCode: number) => {
    stopping ??= (async () => {
      await running.stop();
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
}

function greet(port: number, embedded: EmbeddedRedis | undefined): void {
  const url = `http://localhost:${port}`;
  const json = "-H 'content-type: application/json'";
  console.log(`
latchkey is ready at ${url}
${embedded ? `Its own Redis: redis-cli -s ${embedded.socketPath}\n` : ''}
Try next:
  ${url}/register in a browser
  curl ${url}/auth/register ${json} -d '{"username":"ada","password":"correct horse battery staple"}'
  curl ${url}/auth/login ${json} -d '{"username":"ada","password":"correct horse battery staple","transport":"bearer"}'
  curl ${url}/auth/session -H "Authorization: Bearer $ACCESS_TOKEN"
  npm run tour
`);
}
