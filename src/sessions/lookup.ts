import type { Cluster, Redis } from 'ioredis';
import { asUnavailable, translatingFaults } from '../redis/fault.js';
import { isCluster, type RedisClient } from '../redis/script.js';

const MAX_BATCH = 128;

/** Reads one key; null when there is none. Throws {@link UnavailableError} when Redis does not answer. */
export type Lookup = (key: string) => Promise<string | null>;

/**
 * Gathers the reads of one event-loop turn: on one server into an MGET of at most 128 keys,
 * on a Cluster, where MGET crosses no slots, into a pipeline for each slot owner.
 *
 * @returns the lookup, and what closes the connection that it opened of its own, if any.
 */
export function gatheringLookup(client: RedisClient): { lookup: Lookup; close: () => void } {
  if (isCluster(client)) {
    const pipelined = client.duplicate([], { enableAutoPipelining: true });
    pipelined.on('error', () => {});
    return { lookup: pipelining(pipelined, client), close: () => pipelined.disconnect() };
  }
  return { lookup: gathering(client), close: () => {} };
}

interface Waiting {
  readonly resolve: (value: string | null) => void;
  readonly reject: (error: unknown) => void;
}

function gathering(redis: Redis): Lookup {
  let keys: string[] = [];
  let waiting: Waiting[] = [];

  function flush() {
    const batch = waiting;
    const asked = keys;
    if (batch.length === 0) return;
    waiting = [];
    keys = [];
    redis.mget(asked).then(
      (values) => batch.forEach(({ resolve }, i) => resolve(values[i]!)),
      (error: unknown) => {
        const fault = asUnavailable(error);
        for (const { reject } of batch) reject(fault);
      },
    );
  }

  return (key) =>
    new Promise((resolve, reject) => {
      if (keys.push(key) === 1) setImmediate(flush);
      waiting.push({ resolve, reject });
      if (keys.length === MAX_BATCH) flush();
    });
}

/** Until it is ready, ioredis would hold back what is to be pipelined, for however long that takes. */
function pipelining(pipelined: Cluster, client: Cluster): Lookup {
  return (key) => translatingFaults(async () => (pipelined.status === 'ready' ? pipelined : client).get(key));
}
