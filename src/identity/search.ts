import type { Redis } from 'ioredis';
import { LatchkeyError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import { isCluster, type RedisClient } from '../redis/script.js';

const SCAN_COUNT = 500;
const MAX_SCANS = 40;
const CURSOR = /^(\d{1,4})\.(\d{1,20})$/;

/** A place in a search that was not one of ours. */
export class InvalidCursorError extends LatchkeyError {
  constructor() {
    super('invalid_cursor', 'The cursor is not one that a search answered with');
  }
}

/**
 * Walks through the keys that begin with `prefix`, on every master one after the other, by SCAN: each key that is
 * there all along is found at least once. A walk takes as many calls as it takes; a call may find nothing and go on.
 *
 * @param cursor where an earlier call stopped, '' for the beginning.
 * @returns some keys without order, each once, and where to go on; without `cursor` there are no more.
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

/** In an order that stays the same between the calls of one walk, unless masters come or go. */
function listMasters(client: RedisClient): Redis[] {
  if (!isCluster(client)) return [client];
  const addressOf = ({ options }: Redis) => `${options.host}:${options.port}`;
  return client.nodes('master').sort((a, b) => addressOf(a).localeCompare(addressOf(b)));
}
