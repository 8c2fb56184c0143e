import { callRedis } from './faults.js';
import type { RedisClient } from './script.js';

/**
 * Reads the time from Redis, in milliseconds since 1970.
 *
 * @throws {UnavailableError} when Redis does not answer.
 */
export async function readRedisTime(client: RedisClient): Promise<number> {
  const [seconds, microseconds] = await callRedis(() => client.time());
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
