import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import { LatchkeyError } from '../errors.js';
import type { RedisLocation } from '../redis/connect.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../redis/embedded/embedded-redis.js';
import type { AppConfig } from './apps.js';
import { loadConfig } from './config/load.js';
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

/** Returns only a message for latchkey's own errors and for a port in use. Other errors are shown with their stack. */
function explain(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error.message;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  return code === 'EADDRINUSE'
    ? `Port ${port} is already in use: stop the program that uses it, or set PORT or INTERNAL_PORT`
    : error;
}

async function main(): Promise<void> {
  const env = loadConfig(process.env);
  if (cluster.isPrimary) for (const warning of env.warnings) console.warn(`Warning: ${warning}`);

  const embedded = env.redis
    ? undefined
    : await startEmbeddedRedis({ dataDirectory: env.dataDirectory, configFile: REDIS_CONF, log: console.log });
  const [first, ...rest] = env.tokenKeys ?? [await readOrCreateTokenKey(env.dataDirectory)];
  const config: AppConfig = { ...env, tokenKeys: [first!, ...rest] };

  const running =
    cluster.isPrimary && config.workers > 1
      ? await superviseWorkers(
          config.workers,
          embedded ? { REDIS_URL: `unix://${embedded.socketPath.split('/').map(encodeURIComponent).join('/')}` } : {},
        )
      : await serve(config, env.redis ?? toLocation(embedded!));
  stopOnSignal(running, embedded);
  if (cluster.isPrimary) printBanner(running.port, embedded);
  else reportServing(running.port);
}

function toLocation({ socketPath }: EmbeddedRedis): RedisLocation {
  return { kind: 'unix', path: socketPath, username: undefined, password: undefined };
}

/** Stops the service and then the embedded Redis, on a signal or if that Redis exits. */
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

function printBanner(port: number, embedded: EmbeddedRedis | undefined): void {
  const url = `http://localhost:${port}`;
  const json = "-H 'content-type: application/json'";
  console.log(`
latchkey is ready at ${url}
${embedded ? `Embedded Redis: redis-cli -s ${embedded.socketPath}\n` : ''}
Try next:
  ${url}/register in a browser
  curl ${url}/auth/register ${json} -d '{"username":"ada","password":"correct horse battery staple"}'
  curl ${url}/auth/login ${json} -d '{"username":"ada","password":"correct horse battery staple","transport":"bearer"}'
  curl ${url}/auth/session -H "Authorization: Bearer $ACCESS_TOKEN"
  npm run tour
`);
}
