import { UnavailableError } from '../errors.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import type { PasswordHasher } from './password-hasher.js';
import {
  checkNewPassword,
  normalizePassword,
  PasswordNotAllowedError,
  type PasswordPolicy,
} from './password-policy.js';
import { generateSubject, readNameHolder, readUser, type UserRecord } from './user-record.js';
import { InvalidUsernameError, normalizeUsername } from './username.js';

export const rehashPassword = defineScript({
  file: new URL('./scripts/rehash.lua', import.meta.url),
  keys: ['user'],
  args: ['verified', 'rehashed'],
  outcomes: ['replaced', 'changed'],
});

/** A successful verification. */
export interface PasswordMatch {
  readonly verified: true;
  readonly subject: string;
  readonly username: string;
  /** The stored hash (PHC string) that matched. It may change: check it again in the script that acts on it. */
  readonly credential: string;
}

/** A failed verification. It does not say why it failed. */
export interface FailedVerification {
  readonly verified: false;
  /** The subject with this username, if there is one. For the audit log, not for the client. */
  readonly subject?: string | undefined;
}

/** Verifies the passwords of registered users, and hashes new ones. */
export class Passwords {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;
  readonly #hasher: PasswordHasher;
  readonly #policy: PasswordPolicy;

  constructor(client: RedisClient, keys: RedisKeys, hasher: PasswordHasher, policy: PasswordPolicy = {}) {
    this.#client = client;
    this.#keys = keys;
    this.#hasher = hasher;
    this.#policy = policy;
  }

  /**
   * Verifies a username and a password. Every failure costs one hash: an unknown or disabled user, a wrong password,
   * and an invalid username or password. After a success, a hash with outdated parameters is replaced.
   *
   * @throws {UnavailableError} when Redis does not answer or too many passwords are waiting to be hashed; the signal's
   *   reason if it is aborted.
   */
  async verify(input: {
    username: string;
    password: string;
    signal?: AbortSignal;
  }): Promise<PasswordMatch | FailedVerification> {
    const username = valueUnless(InvalidUsernameError, () => normalizeUsername(input.username));
    const user = username === undefined ? undefined : await this.#findByName(username);
    const verification = await this.#match(user, input.password, input.signal);
    return verification.verified ? this.#rehashIfOutdated(verification, input.password) : verification;
  }

  /**
   * Verifies the password of a subject, for a user who is logged in and wants to change it. Does not replace the hash.
   *
   * @throws {UnavailableError} as {@link verify}.
   */
  async verifySubject(
    subject: string,
    password: string,
    signal?: AbortSignal,
  ): Promise<PasswordMatch | FailedVerification> {
    return this.#match(await readUser(this.#client, this.#keys, subject), password, signal);
  }

  /**
   * Checks and hashes a new password. Stores nothing: one script of the session store replaces the hash and ends the
   * user's sessions together.
   *
   * @returns A PHC string.
   * @throws {PasswordNotAllowedError}
   * @throws {UnavailableError} when too many passwords are waiting to be hashed; the signal's reason if it is aborted.
   */
  async hashNew(password: string, username: string, signal?: AbortSignal): Promise<string> {
    return this.#hasher.hash(checkNewPassword(password, { ...this.#policy, username }), signal);
  }

  async #findByName(username: string): Promise<UserRecord | undefined> {
    const holder = await readNameHolder(this.#client, this.#keys, username);
    // Read a record for an unknown name too, so that timing does not reveal whether the name exists.
    const user = await readUser(this.#client, this.#keys, holder ?? generateSubject());
    return user?.username === username ? user : undefined;
  }

  async #match(
    user: UserRecord | undefined,
    input: string,
    signal: AbortSignal | undefined,
  ): Promise<PasswordMatch | FailedVerification> {
    const password = valueUnless(PasswordNotAllowedError, () => normalizePassword(input));
    const matches =
      user?.password === undefined || password === undefined
        ? await this.#hasher.verifyDecoy(password ?? '', signal)
        : await this.#hasher.verify(user.password, password, signal);
    if (!matches || !user?.password || user.createdAt === undefined || user.disabledAt !== undefined)
      return { verified: false, subject: user?.subject };
    return { verified: true, subject: user.subject, username: user.username, credential: user.password };
  }

  /** Replaces a hash that has outdated parameters. Returns the user with the hash that is now stored. */
  async #rehashIfOutdated(user: PasswordMatch, input: string): Promise<PasswordMatch | FailedVerification> {
    const { subject, credential: verified } = user;
    if (!this.#hasher.needsRehash(verified)) return user;
    const password = normalizePassword(input);
    try {
      const rehashed = await this.#hasher.hash(password);
      const keys = { user: this.#keys.user(subject) };
      const reply = await rehashPassword(this.#client, { keys, args: { verified, rehashed } });
      if (reply.outcome === 'replaced') return { ...user, credential: rehashed };
      // Another login has rehashed the password, or it was changed. Only in the first case is this login still valid.
      const stored = reply['password'];
      if (stored === undefined || !(await this.#hasher.verify(stored, password))) return { verified: false, subject };
      return { ...user, credential: stored };
    } catch (error) {
      if (error instanceof UnavailableError) return user;
      throw error;
    }
  }
}

/** The value, or undefined if computing it throws an error of this class. */
function valueUnless<T>(refusal: new (...args: never[]) => Error, value: () => T): T | undefined {
  try {
    return value();
  } catch (error) {
    if (error instanceof refusal) return undefined;
    throw error;
  }
}
