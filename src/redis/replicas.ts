import type { Redis } from 'ioredis';
import { UnavailableError } from '../errors.js';
import { callRedis } from './faults.js';
import { defineScript, isCluster, type RedisClient } from './script.js';
import { slotOf } from './slot.js';

const writeMarker = defineScript({
  file: new URL('./scripts/write-marker.lua', import.meta.url),
  keys: ['marker'],
  args: [],
  outcomes: ['written'],
});

/**
 * Waits until enough replicas have received everything that the node of `key` has written so far, on any connection, so
 * that a failover to one of them loses none of it. WAIT only counts writes of its own connection, so this writes a
 * marker: a replica that has it has everything written before it. Other commands on the connection wait meanwhile.
 *
 * @param key a key that may be overwritten; it expires after a second
 * @throws {UnavailableError} if fewer replicas have it after `timeoutMs`. The write happened, but must not be
 *   acknowledged.
 */
export async function waitForReplicas(
  client: RedisClient,
  key: string,
  { replicas, timeoutMs }: { replicas: number; timeoutMs: number },
): Promise<void> {
  const reached = await callRedis(async () => {
    const node = nodeOf(client, key);
    // A connection to one node does not add the key prefix of the Cluster client.
    const prefix = isCluster(client) ? (client.options.keyPrefix ?? '') : '';
    await writeMarker(node, { keys: { marker: prefix + key }, args: {} });
    return node.wait(replicas, timeoutMs);
  });
  if (reached < replicas) throw new UnavailableError(`The write reached ${reached} of ${replicas} replicas`);
}

/** Finds the connection to the node that holds `key`: the marker and WAIT must use the same one. */
function nodeOf(client: RedisClient, key: string): Redis {
  if (!isCluster(client)) return client;
  const address = client.slots[slotOf(key)]?.[0];
  const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === address);
  if (!node) throw new Error('No Cluster node is known for the slot of the key');
  return node;
}
