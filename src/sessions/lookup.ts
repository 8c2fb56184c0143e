import type { Cluster, Redis } from 'ioredis';
import { translateRedisError } from '../redis/faults.js';
import { isCluster, type RedisClient } from '../redis/script.js';
import { slotOf } from '../redis/slot.js';

const MAX_BATCH = 128;

/** Reads one key; null if there is none. Throws {@link UnavailableError} if Redis does not answer in time. */
export type Lookup = (key: string) => Promise<string | null>;

interface Read {
  readonly key: string;
  readonly resolve: (value: string | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Creates a lookup that batches the reads of one event-loop turn, up to 128 at a time. On a single server, a batch is
 * one MGET. In a Cluster, where an MGET cannot span slots, it is one pipeline for each node.
 *
 * @param onSend called just before a batch is sent.
 */
export function createBatchedLookup(client: RedisClient, onSend: () => void): Lookup {
  let waiting: Read[] = [];

  function flush() {
    const reads = waiting;
    if (reads.length === 0) return;
    waiting = [];
    onSend();
    if (isCluster(client)) readFromOwners(client, reads);
    else readWithMget(client, reads);
  }

  return (key) =>
    new Promise((resolve, reject) => {
      if (waiting.length === MAX_BATCH) flush();
      if (waiting.push({ key, resolve, reject }) === 1) setImmediate(flush);
    });
}

function readWithMget(redis: Redis, reads: readonly Read[]): void {
  redis.mget(reads.map(({ key }) => key)).then(
    (values) => reads.forEach(({ resolve }, i) => resolve(values[i]!)),
    (error: unknown) => rejectAll(reads, error),
  );
}

function readFromOwners(cluster: Cluster, reads: readonly Read[]): void {
  for (const [owner, owned] of groupByOwner(cluster, reads)) {
    if (!owner) {
      for (const read of owned) readViaCluster(cluster, read);
      continue;
    }
    const pipeline = owner.pipeline();
    for (const { key } of owned) pipeline.get(key);
    pipeline.exec().then(
      (results) => {
        owned.forEach((read, i) => {
          const [error, value] = results![i]!;
          if (!error) read.resolve(value as string | null);
          else if (/^(MOVED|ASK) /.test(error.message)) readViaCluster(cluster, read);
          else rejectAll([read], error);
        });
      },
      (error: unknown) => rejectAll(owned, error),
    );
  }
}

/**
 * Groups reads by the node that owns their slot. The group `undefined` is for reads whose node is unknown or not
 * connected, and for all reads if ioredis adds a key prefix.
 */
function groupByOwner(cluster: Cluster, reads: readonly Read[]): Map<Redis | undefined, Read[]> {
  const nodes = new Map<string | undefined, Redis>();
  if (!cluster.options.keyPrefix) {
    for (const node of cluster.nodes('master')) {
      if (node.status === 'ready') nodes.set(`${node.options.host}:${node.options.port}`, node);
    }
  }
  const groups = new Map<Redis | undefined, Read[]>();
  for (const read of reads) {
    const owner = nodes.get(cluster.slots[slotOf(read.key)]?.[0]);
    const group = groups.get(owner);
    if (group) group.push(read);
    else groups.set(owner, [read]);
  }
  return groups;
}

/** Reads through the Cluster client, which finds the node and updates its map of slots. */
function readViaCluster(cluster: Cluster, read: Read): void {
  cluster.get(read.key).then(read.resolve, (error: unknown) => rejectAll([read], error));
}

function rejectAll(reads: readonly Read[], error: unknown): void {
  const translated = translateRedisError(error);
  for (const { reject } of reads) reject(translated);
}
