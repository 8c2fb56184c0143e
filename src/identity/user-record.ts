import { randomBytes } from 'node:crypto';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';

const SUBJECT_BYTES = 16;

/** A user as stored at `user:<subject>`. Timestamps are in milliseconds since the Unix epoch, from Redis's clock. */
export interface UserRecord {
  readonly subject: string;
  readonly username: string;
  /** The hash of the password (PHC string). */
  readonly password: string | undefined;
  /** Missing until the registration is confirmed. */
  readonly createdAt: number | undefined;
  readonly disabledAt: number | undefined;
}

/**
 * Reads the record of a user.
 *
 * @returns undefined if the subject has no username, even if there is a record because the subject was disabled.
 * @throws {UnavailableError} if Redis does not answer.
 */
export async function readUser(client: RedisClient, keys: RedisKeys, subject: string): Promise<UserRecord | undefined> {
  const [username, password, createdAt, disabledAt] = await callRedis(() =>
    client.hmget(keys.user(subject), 'username', 'password', 'createdAt', 'disabledAt'),
  );
  if (!username) return undefined;
  return {
    subject,
    username,
    password: password ?? undefined,
    createdAt: toTimestamp(createdAt),
    disabledAt: toTimestamp(disabledAt),
  };
}

/**
 * Finds the subject stored at `login:<username>`. Its user record may not exist, or may have another username.
 *
 * @throws {UnavailableError} if Redis does not answer.
 */
export async function findSubjectByUsername(
  client: RedisClient,
  keys: RedisKeys,
  username: string,
): Promise<string | undefined> {
  return (await callRedis(() => client.get(keys.login(username)))) ?? undefined;
}

/** Generates a random subject: 128 bits in base64url, 22 characters. */
export function generateSubject(): string {
  return randomBytes(SUBJECT_BYTES).toString('base64url');
}

/** Parses a timestamp as stored in Redis, in milliseconds since the Unix epoch; undefined for a missing field. */
export function toTimestamp(text: string | null | undefined): number | undefined {
  return text ? Number(text) : undefined;
}
