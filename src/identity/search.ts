import type { Redis } from 'ioredis';
import { LatchkeyError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import { isCluster, type RedisClient } from '../redis/script.js';

/** The number of keys that Redis examines in one SCAN. */
const SCAN_COUNT = 500;
/** How many SCANs that find nothing one call makes. */
const MAX_SCANS = 40;
const CURSOR = /^(\d{1,4})\.(\d{1,20})$/;

/** A cursor that no search returned. */
export class InvalidCursorError extends LatchkeyError {
  constructor() {
    super('invalid_cursor', 'The cursor is not one that a search returned');
  }
}

/**
 * Finds the keys that begin with `prefix`, with SCAN on one master after the other. Call again with the returned
 * cursor until there is none. Keys that exist during all of these calls are returned at least once.
 *
 * @param cursor the `cursor` of the previous call; '' for the first.
 * @returns some keys, or none, in no particular order and without duplicates. The last call returns no `cursor`.
 * @throws {InvalidCursorError} if no search returned the cursor.
 * @throws {UnavailableError} if Redis does not answer.
 */
export async function scanKeys(
  client: RedisClient,
  prefix: string,
  cursor: string,
): Promise<{ keys: string[]; cursor?: string }> {
  const match = CURSOR.exec(cursor || '0.0');
  if (!match) throw new InvalidCursorError();
  let [node, position] = [Number(match[1]), match[2]!];
  const pattern = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`;
  const nodes = listMasters(client);

  for (let scans = 0; scans < MAX_SCANS && node < nodes.length; scans++) {
    const [next, keys] = await callRedis(() => nodes[node]!.scan(position, 'MATCH', pattern, 'COUNT', SCAN_COUNT));
    [node, position] = next === '0' ? [node + 1, '0'] : [node, next];
    if (keys.length > 0)
      return { keys: [...new Set(keys)], ...(node < nodes.length && { cursor: `${node}.${position}` }) };
  }
  return { keys: [], ...(node < nodes.length && { cursor: `${node}.${position}` }) };
}

/** The masters, sorted: the cursor holds an index into this list, so every call needs the same order. */
function listMasters(client: RedisClient): Redis[] {
  if (!isCluster(client)) return [client];
  const addressOf = ({ options }: Redis) => `${options.host}:${options.port}`;
  return client.nodes('master').sort((a, b) => addressOf(a).localeCompare(addressOf(b)));
}
