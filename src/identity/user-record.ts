import { randomBytes } from 'node:crypto';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';

const SUBJECT_BYTES = 16;

/** A user as stored at `user:<subject>`. Instants are in milliseconds since 1970, by Redis's clock. */
export interface UserRecord {
  readonly subject: string;
  readonly username: string;
  /** The hash of the password (PHC string). */
  readonly password: string | undefined;
  /** Missing until the registration is confirmed. */
  readonly createdAt: number | undefined;
  readonly disabledAt: number | undefined;
}

/** The record of a subject; undefined if it has no username. @throws {UnavailableError} when Redis does not answer. */
export async function readUser(client: RedisClient, keys: RedisKeys, subject: string): Promise<UserRecord | undefined> {
  const [username, password, createdAt, disabledAt] = await callRedis(() =>
    client.hmget(keys.user(subject), 'username', 'password', 'createdAt', 'disabledAt'),
  );
  if (!username) return undefined;
  return {
    subject,
    username,
    password: password ?? undefined,
    createdAt: toInstant(createdAt),
    disabledAt: toInstant(disabledAt),
  };
}

/**
 * The subject stored at `login:<username>`. Its record may be gone, or may have another username.
 *
 * @throws {UnavailableError} when Redis does not answer.
 */
export async function readNameHolder(
  client: RedisClient,
  keys: RedisKeys,
  username: string,
): Promise<string | undefined> {
  return (await callRedis(() => client.get(keys.login(username)))) ?? undefined;
}

/** A random subject: 128 bits in base64url, 22 characters. */
export function generateSubject(): string {
  return randomBytes(SUBJECT_BYTES).toString('base64url');
}

/** Parses milliseconds since 1970 as stored in Redis; undefined for a missing field. */
export function toInstant(text: string | null | undefined): number | undefined {
  return text ? Number(text) : undefined;
}
