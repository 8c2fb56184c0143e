import type { Redis } from 'ioredis';
import { UnavailableError } from '../errors.js';
import { callRedis } from './faults.js';
import { defineScript, isCluster, type RedisClient } from './script.js';
import { slotOf } from './slot.js';

const mark = defineScript({
  file: new URL('./scripts/mark.lua', import.meta.url),
  keys: ['mark'],
  args: [],
  outcomes: ['marked'],
});

/**
 * Waits until as many replicas have all that the owner of `key` has written so far, so that no failover to one of them undoes it.
 * The connection answers nothing else meanwhile.
 *
 * @param key one that may be written; it is gone again after a second.
 * @throws {UnavailableError} when fewer have it in `timeoutMs`: it was written, but must not be acknowledged.
 */
export async function waitForReplicas(
  client: RedisClient,
  key: string,
  { replicas, timeoutMs }: { replicas: number; timeoutMs: number },
): Promise<void> {
  const reached = await callRedis(async () => {
    const owner = ownerOf(client, key);
    // A node of a Cluster does not add the prefix that the Cluster has.
    const prefix = isCluster(client) ? (client.options.keyPrefix ?? '') : '';
    await mark(owner, { keys: { mark: prefix + key }, args: {} });
    return owner.wait(replicas, timeoutMs);
  });
  if (reached < replicas) throw new UnavailableError(`${reached} of ${replicas} replicas have the write`);
}

/** The connection that a key has just been written through: WAIT asks about the writes of its own connection. */
function ownerOf(client: RedisClient, key: string): Redis {
  if (!isCluster(client)) return client;
  const owner = client.slots[slotOf(key)]?.[0];
  const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === owner);
  if (!node) throw new Error('The Cluster does not say who owns the key');
  return node;
}
