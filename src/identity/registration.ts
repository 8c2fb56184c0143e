import { LatchkeyError, UnavailableError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import type { PasswordHasher } from './password-hasher.js';
import { checkNewPassword, type PasswordPolicy } from './password-policy.js';
import { generateSubject, readNameHolder, readUser } from './user-record.js';
import { normalizeUsername } from './username.js';

/** How long a user record waits for its confirmation before it expires. */
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
  args: ['subject', 'gone'],
  outcomes: ['claimed', 'held'],
});

export const confirmUser = defineScript({
  file: new URL('./scripts/confirm.lua', import.meta.url),
  keys: ['user'],
  args: [],
  outcomes: ['confirmed', 'expired'],
});

/** Another user has this username. */
export class UsernameTakenError extends LatchkeyError {
  constructor() {
    super('username_taken', 'The username is taken');
  }
}

/**
 * Registers users. A user is a record at `user:<subject>`, found by name through `login:<username>`.
 *
 * In a Cluster the two keys are in different slots, so a registration takes three scripts: create a record that
 * expires, claim the name, make the record permanent. In this order, a crash never leaves a name blocked, and two users
 * never share one. A name is held only while its holder's record exists, and a record that is gone never returns. So a
 * registration cannot be confirmed after another one has taken over its name.
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
   * Registers a user under a name that nobody has. Of several simultaneous attempts, exactly one succeeds.
   *
   * @returns A random subject (128 bits in base64url, 22 characters) and the normalized username.
   * @throws {InvalidUsernameError}
   * @throws {PasswordNotAllowedError}
   * @throws {UsernameTakenError}
   * @throws {UnavailableError} when Redis does not answer or too many passwords are waiting to be hashed; the name is
   *   free again within a minute. The signal's reason if it is aborted.
   */
  async register(input: { username: string; password: string; signal?: AbortSignal }): Promise<{
    subject: string;
    username: string;
  }> {
    const username = normalizeUsername(input.username);
    const password = checkNewPassword(input.password, { ...this.#policy, username });
    await this.#requireAbandoned(username, await readNameHolder(this.#client, this.#keys, username));
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
    let gone = '';
    for (let attempt = 0; attempt < MAX_CLAIM_ATTEMPTS; attempt++) {
      const reply = await claimLogin(this.#client, {
        keys: { login: this.#keys.login(username) },
        args: { subject, gone },
      });
      if (reply.outcome === 'claimed') return;
      gone = await this.#requireAbandoned(username, reply['subject']);
    }
    throw new UnavailableError('The username changes hands too fast');
  }

  /**
   * Makes sure that the holder of a name no longer exists, or has another name.
   *
   * @returns The holder, or '' if the name has none.
   * @throws {UsernameTakenError}
   */
  async #requireAbandoned(username: string, holder: string | undefined): Promise<string> {
    if (holder === undefined) return '';
    const user = await readUser(this.#client, this.#keys, holder);
    if (user?.username === username) throw new UsernameTakenError();
    return holder;
  }
}
