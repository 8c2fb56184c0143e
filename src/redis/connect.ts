import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { isCluster, type RedisClient } from './script.js';

export interface RedisNode {
  host: string;
  port: number;
}

interface RedisAccess {
  tls: boolean;
  username: string | undefined;
  password: string | undefined;
}

/** The address of Redis. For Sentinel, username and password are those of the Redis servers behind it. */
export type RedisLocation =
  | ({ kind: 'standalone'; db: number } & RedisNode & RedisAccess)
  | ({ kind: 'unix'; path: string } & Omit<RedisAccess, 'tls'>)
  | ({ kind: 'sentinel'; sentinels: readonly RedisNode[]; name: string; db: number } & RedisAccess)
  | ({ kind: 'cluster'; nodes: readonly RedisNode[] } & RedisAccess);

/**
 * Creates a client whose commands fail unless Redis replies within `timeoutMs`. While disconnected, commands fail
 * immediately instead of being queued, and a command whose reply was lost is never resent. It reconnects until closed.
 *
 * @param options.name connection name, shown by CLIENT LIST
 * @param options.onError receives connection errors, without the command that failed
 */
export function connect(
  location: RedisLocation,
  { timeoutMs, name, onError }: { timeoutMs: number; name: string; onError: (error: Error) => void },
): RedisClient {
  const { username, password } = location;
  const retryStrategy = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1000);
  const options = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...('tls' in location && location.tls && { tls: {} }),
    connectionName: name,
    // Before Redis 7.2, CLIENT SETINFO does not exist, and an ACL file that allows it does not load.
    disableClientInfo: true,
    commandTimeout: timeoutMs,
    connectTimeout: timeoutMs,
    // Closes a connection that stays silent, so that commands do not pile up on it.
    socketTimeout: 2 * timeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // After a failover the old master rejects writes: reconnect to find the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions;
  const nodeOptions = { ...options, enableOfflineQueue: false, retryStrategy } satisfies RedisOptions;
  const client = openClient();
  client.on('error', (error: Error) => onError(removeCommand(error)));
  // By default a Cluster client connects to a node only at the first command for it, and without an offline queue that
  // command fails.
  if (isCluster(client)) {
    client.on('+node', (node: Redis) => {
      if (!node.options.readOnly) node.connect().catch(() => {});
    });
  }
  return client;

  function openClient(): RedisClient {
    switch (location.kind) {
      case 'standalone':
        return new Redis({ ...nodeOptions, host: location.host, port: location.port, db: location.db });
      case 'unix':
        return new Redis({ ...nodeOptions, path: location.path });
      case 'sentinel':
        return new Redis({
          ...nodeOptions,
          sentinels: [...location.sentinels],
          name: location.name,
          db: location.db,
          sentinelRetryStrategy: retryStrategy,
          failoverDetector: true,
          ...('tls' in options && { sentinelTLS: {}, enableTLSForSentinelMode: true }),
        });
      case 'cluster':
        return new Cluster([...location.nodes], {
          redisOptions: options,
          enableOfflineQueue: false,
          scaleReads: 'master',
          maxRedirections: 5,
          // A command whose connection broke is not retried; the next one finds the new owner of the slot.
          retryDelayOnFailover: 0,
          clusterRetryStrategy: retryStrategy,
          slotsRefreshTimeout: timeoutMs,
        } satisfies ClusterOptions);
    }
  }
}

/** Removes the failed command that ioredis attaches to errors: the arguments of AUTH include the password. */
function removeCommand<T extends Error>(error: T): T {
  Reflect.deleteProperty(error, 'command');
  for (const nested of Object.values(error) as unknown[]) if (nested instanceof Error) removeCommand(nested);
  return error;
}

/** Resolves when the client is ready, or after `timeoutMs`: the service starts even while Redis is unavailable. */
export async function waitUntilReady(client: RedisClient, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  await waitForReadyEvent(client, timeoutMs);
  if (isCluster(client)) {
    await Promise.all(client.nodes('master').map((node) => waitForReadyEvent(node, deadline - performance.now())));
  }
}

async function waitForReadyEvent(client: RedisClient, timeoutMs: number): Promise<void> {
  if (client.status === 'ready') return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      client.off('ready', done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    client.on('ready', done);
  });
}
