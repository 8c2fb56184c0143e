import { Redis } from 'ioredis';
import type { RedisLocation } from '../../../src/redis/connect.js';
import {
  type ClientOptions,
  REPLICATE_AT_ONCE,
  startAll,
  type StartOptions,
  startRedis,
  type TestRedis,
} from './server.js';
import { HOST, until } from './waiting.js';

export interface TestSentinel {
  /** What REDIS_URL takes. */
  url: string;
  /** What `connect` takes to reach the current master as the default user. */
  location: Extract<RedisLocation, { kind: 'sentinel' }>;
  master: TestRedis;
  replica: TestRedis;
  sentinels: TestRedis[];
  /** Creates a client of the current master, closed by `stop`. */
  client: (options?: ClientOptions) => Redis;
  stop: () => Promise<void>;
}

/** Starts a master, a replica, and three Sentinels that fail over about two seconds after the master stops. */
export async function startSentinel(options: StartOptions = {}): Promise<TestSentinel> {
  const args = [...REPLICATE_AT_ONCE, ...(options.args ?? [])];
  const master = await startRedis({ ...options, args });
  const replica = await startRedis({ ...options, args: [...args, '--replicaof', HOST, String(master.port)] });
  const sentinels = await startAll(3, () => startOneSentinel(master.port));
  const servers = [...sentinels, replica, master];
  const addresses = sentinels.map(({ host, port }) => ({ host, port }));
  const clients: Redis[] = [];
  const stop = async () => {
    for (const client of clients) client.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const observers = sentinels.map((sentinel) => sentinel.client());
    await until('every Sentinel knows the replica and the others', async () => {
      const states = await Promise.all(observers.map((observer) => observer.info('sentinel')));
      return states.every((state) => state.includes('slaves=1,sentinels=3'));
    });
    const replication = replica.client();
    await until('the replica has its data', async () =>
      (await replication.info('replication')).includes('master_link_status:up'),
    );
    for (const client of [...observers, replication]) client.disconnect();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `redis+sentinel://${addresses.map(({ host, port }) => `${host}:${port}`).join(',')}/mymaster`,
    location: {
      kind: 'sentinel',
      sentinels: addresses,
      name: 'mymaster',
      db: 0,
      tls: false,
      username: undefined,
      password: undefined,
    },
    master,
    replica,
    sentinels,
    client(clientOptions) {
      const client = new Redis({ sentinels: addresses, name: 'mymaster', ...clientOptions });
      client.on('error', () => undefined);
      clients.push(client);
      return client;
    },
    stop,
  };
}

async function startOneSentinel(masterPort: number): Promise<TestRedis> {
  const sentinel = await startRedis({ config: false, args: ['--sentinel'] });
  const client = sentinel.client();
  await client.call('SENTINEL', 'MONITOR', 'mymaster', HOST, masterPort, 2);
  await client.call('SENTINEL', 'SET', 'mymaster', 'down-after-milliseconds', 1_000, 'failover-timeout', 3_000);
  client.disconnect();
  return sentinel;
}
