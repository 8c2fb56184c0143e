import { Cluster, type Redis } from 'ioredis';
import type { RedisLocation } from '../../../src/redis/connect.js';
import { REPLICATE_AT_ONCE, startAll, type StartOptions, startRedis, type TestRedis } from './server.js';
import { freePort, until } from './waiting.js';

export interface TestCluster {
  /** The masters, then their replicas. */
  nodes: TestRedis[];
  /** What REDIS_URL takes: every node, comma-separated. */
  urls: string;
  /** What `connect` takes to reach the Cluster as the default user. */
  location: Extract<RedisLocation, { kind: 'cluster' }>;
  /** Creates a client, closed by `stop`. */
  cluster: (options?: ConstructorParameters<typeof Cluster>[1]) => Cluster;
  stop: () => Promise<void>;
}

/** Starts a real Redis Cluster of `masters` that share the slots, each with `replicas` (0 by default). */
export async function startCluster(size: { masters: number; replicas?: number } & StartOptions): Promise<TestCluster> {
  const { masters, replicas = 0, args = [], ...options } = size;
  const nodes = await startAll(masters * (1 + replicas), async () => {
    const settings = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...REPLICATE_AT_ONCE];
    return startRedis({ ...options, args: [...settings, '--cluster-port', String(await freePort()), ...args] });
  });
  const clusters: Cluster[] = [];
  const stop = async () => {
    for (const cluster of clusters) cluster.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    await formCluster(nodes, masters);
  } catch (error) {
    await stop();
    throw error;
  }
  const addresses = nodes.map(({ host, port }) => ({ host, port }));
  return {
    nodes,
    urls: nodes.map((node) => node.url).join(','),
    location: { kind: 'cluster', nodes: addresses, tls: false, username: undefined, password: undefined },
    cluster(clusterOptions) {
      const cluster = new Cluster(addresses, clusterOptions);
      cluster.on('error', () => undefined);
      clusters.push(cluster);
      return cluster;
    },
    stop,
  };
}

const SLOTS = 16_384;

async function formCluster(nodes: TestRedis[], masters: number): Promise<void> {
  const clients = nodes.map((node) => node.client());
  const call = (client: Redis, ...words: (string | number)[]) => client.call('CLUSTER', ...words);

  await Promise.all(clients.map((client, index) => call(client, 'SET-CONFIG-EPOCH', index + 1)));
  for (let i = 0; i < masters; i++) {
    const from = Math.floor((i * SLOTS) / masters);
    const to = Math.floor(((i + 1) * SLOTS) / masters) - 1;
    await call(clients[i] as Redis, 'ADDSLOTSRANGE', from, to);
  }
  for (const [index, other] of clients.entries()) {
    if (index === 0) continue;
    const { host, port } = nodes[index] as TestRedis;
    const [, busPort] = (await other.config('GET', 'cluster-port')) as [string, string];
    await call(clients[0] as Redis, 'MEET', host, port, busPort);
  }
  await until('every node knows every node and all slots', async () => {
    const states = await Promise.all(clients.map(async (client) => String(await call(client, 'INFO'))));
    return states.every(
      (state) => state.includes('cluster_state:ok') && state.includes(`cluster_known_nodes:${nodes.length}\r`),
    );
  });
  for (const [index, client] of clients.entries()) {
    if (index < masters) continue;
    await call(client, 'REPLICATE', String(await call(clients[index % masters] as Redis, 'MYID')));
  }
  // A replica is listed only after its master has pinged it and the other nodes have heard of it.
  await until('every node lists every replica', async () => {
    const views = await Promise.all(clients.map((client) => call(client, 'SLOTS') as Promise<unknown[][]>));
    return views.every((ranges) => ranges.flatMap((range) => range.slice(2)).length === nodes.length);
  });
  for (const client of clients) client.disconnect();
}
