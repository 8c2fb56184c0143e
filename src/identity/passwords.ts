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
import { findSubjectByUsername, generateSubject, readUser, type UserRecord } from './user-record.js';
import { InvalidUsernameError, normalizeUsername } from './username.js';

const rehashPassword = defineScript({
  file: new URL('./scripts/rehash.lua', import.meta.url),
  keys: ['user'],
  args: ['verifiedHash', 'newHash'],
  outcomes: ['replaced', 'changed'],
});

/** A successful verification. */
export interface SuccessfulVerification {
  readonly verified: true;
  readonly subject: string;
  readonly username: string;
  /** The stored hash (PHC string) that matched. Scripts that rely on it must check that it is still stored. */
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
   * Verifies a username and a password. To hide the reason of a failure, every failure costs one hash: an unknown or
   * disabled user, a wrong password, and an invalid username or password. After a success, a hash with outdated
   * parameters is replaced.
   *
   * @throws {UnavailableError} if Redis does not answer or too many passwords are waiting to be hashed.
   * @throws the signal's reason if it is aborted.
   */
  async verify(input: {
    username: string;
    password: string;
    signal?: AbortSignal;
  }): Promise<SuccessfulVerification | FailedVerification> {
    const username = undefinedIfThrows(InvalidUsernameError, () => normalizeUsername(input.username));
    const user = username === undefined ? undefined : await this.#findByName(username);
    const verification = await this.#match(user, input.password, input.signal);
    return verification.verified ? this.#rehashIfOutdated(verification, input.password) : verification;
  }

  /**
   * Verifies the password of a user who is logged in, for a password change. Does not replace an outdated hash.
   *
   * @throws the same as {@link verify}.
   */
  async verifySubject(
    subject: string,
    password: string,
    signal?: AbortSignal,
  ): Promise<SuccessfulVerification | FailedVerification> {
    return this.#match(await readUser(this.#client, this.#keys, subject), password, signal);
  }

  /**
   * Checks a new password against the policy and hashes it. Does not store it: `SessionStore.revokeAll` replaces the
   * hash and ends the user's sessions in one script.
   *
   * @returns a PHC string.
   * @throws {PasswordNotAllowedError} if the policy rejects the password.
   * @throws {UnavailableError} if too many passwords are waiting to be hashed.
   * @throws the signal's reason if it is aborted.
   */
  async hashNew(password: string, username: string, signal?: AbortSignal): Promise<string> {
    return this.#hasher.hash(checkNewPassword(password, { ...this.#policy, username }), signal);
  }

  async #findByName(username: string): Promise<UserRecord | undefined> {
    const subject = await findSubjectByUsername(this.#client, this.#keys, username);
    // Read a record for an unknown username too, so that timing does not reveal whether the user exists.
    const user = await readUser(this.#client, this.#keys, subject ?? generateSubject());
    return user?.username === username ? user : undefined;
  }

  async #match(
    user: UserRecord | undefined,
    input: string,
    signal: AbortSignal | undefined,
  ): Promise<SuccessfulVerification | FailedVerification> {
    const password = undefinedIfThrows(PasswordNotAllowedError, () => normalizePassword(input));
    const matches =
      user?.password === undefined || password === undefined
        ? await this.#hasher.verifyDecoy(password ?? '', signal)
        : await this.#hasher.verify(user.password, password, signal);
    if (!matches || !user?.password || user.createdAt === undefined || user.disabledAt !== undefined)
      return { verified: false, subject: user?.subject };
    return { verified: true, subject: user.subject, username: user.username, credential: user.password };
  }

  /** Replaces a hash that has outdated parameters. Returns the user with the hash that is now stored. */
  async #rehashIfOutdated(
    user: SuccessfulVerification,
    input: string,
  ): Promise<SuccessfulVerification | FailedVerification> {
    const { subject, credential: verifiedHash } = user;
    if (!this.#hasher.needsRehash(verifiedHash)) return user;
    const password = normalizePassword(input);
    try {
      const newHash = await this.#hasher.hash(password);
      const keys = { user: this.#keys.user(subject) };
      const reply = await rehashPassword(this.#client, { keys, args: { verifiedHash, newHash } });
      if (reply.outcome === 'replaced') return { ...user, credential: newHash };
      // Another login has rehashed the password, or it was changed. Only in the first case is this login still valid.
      const storedHash = reply.password;
      if (storedHash === undefined || !(await this.#hasher.verify(storedHash, password)))
        return { verified: false, subject };
      return { ...user, credential: storedHash };
    } catch (error) {
      if (error instanceof UnavailableError) return user;
      throw error;
    }
  }
}

/** Returns what `compute` returns, or undefined if it throws an error of this class. */
function undefinedIfThrows<T>(errorClass: new (...args: never[]) => Error, compute: () => T): T | undefined {
  try {
    return compute();
  } catch (error) {
    if (error instanceof errorClass) return undefined;
    throw error;
  }
}
