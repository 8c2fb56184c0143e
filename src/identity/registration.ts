import { LatchkeyError, UnavailableError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import type { PasswordHasher } from './password-hasher.js';
import { checkNewPassword, type PasswordPolicy } from './password-policy.js';
import { findSubjectByUsername, generateSubject, readUser } from './user-record.js';
import { normalizeUsername } from './username.js';

/** How long an unconfirmed user record is kept. */
const PENDING_MS = 60_000;
const MAX_CLAIM_ATTEMPTS = 5;

export const createUser = defineScript({
  file: new URL('./scripts/create.lua', import.meta.url),
  keys: ['user'],
  args: ['username', 'password', 'pendingMs'],
  outcomes: ['created', 'exists'],
});

export const claimLogin = defineScript({
  file: new URL('./scripts/claim.lua', import.meta.url),
  keys: ['login'],
  args: ['subject', 'staleOwner'],
  outcomes: ['claimed', 'taken'],
});

export const confirmUser = defineScript({
  file: new URL('./scripts/confirm.lua', import.meta.url),
  keys: ['user'],
  args: [],
  outcomes: ['confirmed', 'expired'],
});

/** The username belongs to another user. */
export class UsernameTakenError extends LatchkeyError {
  constructor() {
    super('username_taken', 'The username is taken');
  }
}

/**
 * Registers users. A user is a record at `user:<subject>`, found by username through `login:<username>`.
 *
 * In a Cluster the two keys are in different slots, so a registration takes three scripts: create a record that
 * expires, claim the username, make the record permanent. In this order, a crash never blocks a username, and two users
 * never share one. A claim is valid only while its owner's record exists, and an expired record is never created again.
 * So a registration cannot be confirmed after another one has claimed its username.
 */
export class Registration {
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
   * Registers a user. Of several simultaneous registrations of a username, exactly one succeeds.
   *
   * @returns a random subject (128 bits in base64url, 22 characters) and the normalized username.
   * @throws {InvalidUsernameError} if the username is not allowed.
   * @throws {PasswordNotAllowedError} if the policy rejects the password.
   * @throws {UsernameTakenError} if another user has the username.
   * @throws {UnavailableError} if Redis does not answer or too many passwords are waiting to be hashed. The username is
   *   available again within a minute.
   * @throws the signal's reason if it is aborted.
   */
  async register(input: { username: string; password: string; signal?: AbortSignal }): Promise<{
    subject: string;
    username: string;
  }> {
    const username = normalizeUsername(input.username);
    const password = checkNewPassword(input.password, { ...this.#policy, username });
    await this.#requireAvailable(username, await findSubjectByUsername(this.#client, this.#keys, username));
    const hash = await this.#hasher.hash(password, input.signal);

    const subject = generateSubject();
    const keys = { user: this.#keys.user(subject) };
    await createUser(this.#client, { keys, args: { username, password: hash, pendingMs: PENDING_MS } });
    try {
      await this.#claim(username, subject);
    } catch (error) {
      if (error instanceof UsernameTakenError) await callRedis(() => this.#client.del(keys.user));
      throw error;
    }
    const { outcome } = await confirmUser(this.#client, { keys, args: {} });
    if (outcome === 'expired') throw new UnavailableError('The registration took too long');
    return { subject, username };
  }

  async #claim(username: string, subject: string): Promise<void> {
    let staleOwner = '';
    for (let attempt = 0; attempt < MAX_CLAIM_ATTEMPTS; attempt++) {
      const reply = await claimLogin(this.#client, {
        keys: { login: this.#keys.login(username) },
        args: { subject, staleOwner },
      });
      if (reply.outcome === 'claimed') return;
      staleOwner = await this.#requireAvailable(username, reply.subject);
    }
    throw new UnavailableError('Too many simultaneous registrations of the same username');
  }

  /**
   * Makes sure that no user has a username.
   *
   * @param owner the subject stored for the username.
   * @returns the owner, which no longer exists or has another username; '' if there is none.
   * @throws {UsernameTakenError} if the owner has the username.
   */
  async #requireAvailable(username: string, owner: string | undefined): Promise<string> {
    if (owner === undefined) return '';
    const user = await readUser(this.#client, this.#keys, owner);
    if (user?.username === username) throw new UsernameTakenError();
    return owner;
  }
}
