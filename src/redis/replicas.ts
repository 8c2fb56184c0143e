import type { Redis } from 'ioredis';
import { UnavailableError } from '../errors.js';
import { translatingFaults } from './fault.js';
import { isCluster, type RedisClient } from './script.js';
import { slotOf } from './slot.js';

/**
 * Waits until as many replicas have what this client wrote at `key`, so that no failover to one of them undoes it.
 *
 * @param replicas how many; with 0 it returns at once.
 * @throws {UnavailableError} when fewer have it in `timeoutMs`: it was written, but must not be acknowledged.
 */
export async function awaitReplicas(
  client: RedisClient,
  key: string,
  { replicas, timeoutMs }: { replicas: number; timeoutMs: number },
): Promise<void> {
  if (replicas === 0) return;
  const reached = await translatingFaults(async () => writer(client, key).wait(replicas, timeoutMs));
  if (reached < replicas) throw new UnavailableError(`${reached} of ${replicas} replicas have the write`);
}

/** The connection that a key has just been written through: WAIT asks about the writes of its own connection. */
function writer(client: RedisClient, key: string): Redis {
  if (!isCluster(client)) return client;
  const owner = client.slots[slotOf(key)]?.[0];
  const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === owner);
  if (!node) throw new Error('The Cluster does not say who owns the key');
  return node;
}
