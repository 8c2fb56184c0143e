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

/** Where Redis is. For Sentinel, user and password are those of the Redis servers behind it. */
export type RedisLocation =
  | ({ kind: 'standalone'; db: number } & RedisNode & RedisAccess)
  | ({ kind: 'unix'; path: string } & Omit<RedisAccess, 'tls'>)
  | ({ kind: 'sentinel'; sentinels: readonly RedisNode[]; name: string; db: number } & RedisAccess)
  | ({ kind: 'cluster'; nodes: readonly RedisNode[] } & RedisAccess);

/**
 * Opens a connection that keeps its deadline: a command is answered within `timeoutMs` or fails, nothing waits for
 * a connection to come back, and no script whose answer was lost is sent a second time behind the caller's back.
 * It reconnects by itself for as long as it lives.
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
    // CLIENT SETINFO is unknown before Redis 7.2, where an ACL file that allows it does not load.
    disableClientInfo: true,
    commandTimeout: timeoutMs,
    connectTimeout: timeoutMs,
    // A server that does not answer at all is given up, so that waiting commands do not pile up behind it.
    socketTimeout: 2 * timeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // After a failover, a server that was demoted refuses writes: look for its successor.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions;
  const standing = { ...options, enableOfflineQueue: false, retryStrategy } satisfies RedisOptions;
  const client = opened();
  client.on('error', (error: Error) => onError(withoutCommand(error)));
  // A Cluster would connect to a node at the first command for it, and refuse those that come before it is connected.
  if (isCluster(client)) {
    client.on('+node', (node: Redis) => {
      if (!node.options.readOnly) node.connect().catch(() => {});
    });
  }
  return client;

  function opened(): RedisClient {
    switch (location.kind) {
      case 'standalone':
        return new Redis({ ...standing, host: location.host, port: location.port, db: location.db });
      case 'unix':
        return new Redis({ ...standing, path: location.path });
      case 'sentinel':
        return new Redis({
          ...standing,
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
          // What was sent when a connection broke is not sent again; the next command finds out who owns the slot now.
          retryDelayOnFailover: 0,
          clusterRetryStrategy: retryStrategy,
          slotsRefreshTimeout: timeoutMs,
        } satisfies ClusterOptions);
    }
  }
}

/** ioredis keeps the command that failed on its errors, with all its arguments: of AUTH, the password. */
function withoutCommand<T extends Error>(error: T): T {
  Reflect.deleteProperty(error, 'command');
  for (const within of Object.values(error) as unknown[]) if (within instanceof Error) withoutCommand(within);
  return error;
}

/** Resolves when the client can be used, or when `timeoutMs` have passed: a service starts without its Redis, unready. */
export async function waitUntilReady(client: RedisClient, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  await readiness(client, timeoutMs);
  if (isCluster(client)) {
    await Promise.all(client.nodes('master').map((node) => readiness(node, deadline - performance.now())));
  }
}

async function readiness(client: RedisClient, timeoutMs: number): Promise<void> {
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
