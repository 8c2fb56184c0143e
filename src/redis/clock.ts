import { callRedis } from './faults.js';
import type { RedisClient } from './script.js';

/**
 * Reads the time from Redis, in milliseconds since the Unix epoch.
 *
 * @throws {UnavailableError} if Redis does not respond.
 */
export async function readRedisTime(client: RedisClient): Promise<number> {
  const [seconds, microseconds] = await callRedis(() => client.time());
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
