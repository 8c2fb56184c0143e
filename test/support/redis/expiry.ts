import type { Redis } from 'ioredis';
import type { Test } from 'tap';
import { readRedisTime } from '../../../src/redis/clock.js';

/** A span of time, in milliseconds since 1970 by Redis's clock. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Runs `act`, and says when it ran by Redis's clock. */
export async function timeInRedis<T>(client: Redis, act: () => Promise<T>): Promise<Span & { result: T }> {
  const from = await readRedisTime(client);
  const result = await act();
  return { result, from, to: await readRedisTime(client) };
}

/** Asserts that a key expires exactly `lifetimeMs` after it was written within `span`. A slow machine changes nothing. */
export async function assertLifetime(t: Test, client: Redis, key: string, lifetimeMs: number, { from, to }: Span) {
  const writtenAt = (await client.pexpiretime(key)) - lifetimeMs;
  t.ok(writtenAt >= from && writtenAt <= to, `${key} lives ${lifetimeMs} ms: ${writtenAt} is from ${from} to ${to}`);
}
