import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { UserDirectory } from '../../src/identity/directory.js';
import { PasswordHasher } from '../../src/identity/password-hasher.js';
import type { PasswordPolicy } from '../../src/identity/password-policy.js';
import { type FailedVerification, Passwords, type SuccessfulVerification } from '../../src/identity/passwords.js';
import { claimLogin, confirmUser, createUser, Registration } from '../../src/identity/registration.js';
import { RedisKeys } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';

/** Counts the hashes that it computes, to test that failures cost as much as successes. */
export class CountingHasher extends PasswordHasher {
  jobs = 0;

  override hash(...args: Parameters<PasswordHasher['hash']>) {
    this.jobs++;
    return super.hash(...args);
  }

  override verify(...args: Parameters<PasswordHasher['verify']>) {
    this.jobs++;
    return super.verify(...args);
  }
}

/** A directory, registration and passwords that share a new key prefix. */
export function usersOn(
  client: RedisClient,
  {
    hasher = new CountingHasher({ queueLimit: 1000 }),
    prefix = `${randomBytes(6).toString('hex')}:`,
    ...policy
  }: PasswordPolicy & { hasher?: PasswordHasher; prefix?: string } = {},
) {
  const keys = new RedisKeys(prefix);
  return {
    prefix,
    keys,
    directory: new UserDirectory(client, keys),
    registration: new Registration(client, keys, hasher, policy),
    passwords: new Passwords(client, keys, hasher, policy),
  };
}

/** The three steps of a registration, to run one at a time, like a process that may crash after any of them. */
export function registrationSteps(
  client: RedisClient,
  { keys, username, passwordHash = 'none' }: { keys: RedisKeys; username: string; passwordHash?: string },
) {
  const subject = randomBytes(16).toString('base64url');
  const user = keys.user(subject);
  const login = keys.login(username);
  return {
    subject,
    user,
    create: (pendingMs = 60_000) =>
      createUser(client, { keys: { user }, args: { username, password: passwordHash, pendingMs } }),
    claim: (staleOwner = '') => claimLogin(client, { keys: { login }, args: { subject, staleOwner } }),
    confirm: () => confirmUser(client, { keys: { user }, args: {} }),
  };
}

/** A connection that runs `before` ahead of each script, as if another process got in between. */
export class InterruptedRedis extends Redis {
  before: (key: string) => Promise<unknown> = () => Promise.resolve();

  override async evalsha(...args: unknown[]): Promise<unknown> {
    await this.before(String(args[2]));
    return super.evalsha(...(args as Parameters<Redis['evalsha']>));
  }
}

/** The time of the server, in milliseconds since the Unix epoch. */
export async function redisTime(client: Redis): Promise<number> {
  const [seconds, microseconds] = await client.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}

/** The user whose password matched. @throws if it did not. */
export async function matched(
  verification: Promise<SuccessfulVerification | FailedVerification>,
): Promise<SuccessfulVerification> {
  const result = await verification;
  if (!result.verified) throw new Error('The password did not match');
  return result;
}
