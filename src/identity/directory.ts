import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { scanKeys } from './search.js';
import { readUser, toInstant } from './user-record.js';
import { foldCase } from './username.js';

export const disableUser = defineScript({
  file: new URL('./scripts/disable.lua', import.meta.url),
  keys: ['user'],
  args: [],
  outcomes: ['disabled'],
});

/** A registered user. Instants are in milliseconds since 1970, by Redis's clock. */
export interface User {
  subject: string;
  username: string;
  createdAt: number;
  disabledAt?: number;
}

/**
 * The registered users and the disabled subjects. It neither reads nor writes passwords.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer.
 */
export class UserDirectory {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;

  constructor(client: RedisClient, keys: RedisKeys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** The user with this subject; undefined until the registration is confirmed. */
  async get(subject: string): Promise<User | undefined> {
    const user = await readUser(this.#client, this.#keys, subject);
    if (user?.createdAt === undefined) return undefined;
    const { username, createdAt, disabledAt } = user;
    return disabledAt === undefined ? { subject, username, createdAt } : { subject, username, createdAt, disabledAt };
  }

  /**
   * Finds the users whose names begin with `prefix`, in no particular order, one part for each call. A search from
   * the first part to the last scans the whole keyspace.
   *
   * @param prefix Normalized like a username; '' finds every user.
   * @param cursor The `cursor` of the previous part; '' for the first.
   * @returns One part of the users. The last part has no `cursor`; an earlier one may be empty.
   * @throws {InvalidCursorError} for a cursor that this method did not return.
   */
  async search(prefix: string, cursor = ''): Promise<{ users: User[]; cursor?: string }> {
    const { keys, ...rest } = await scanKeys(this.#client, this.#keys.login(foldCase(prefix)), cursor);
    const users = await Promise.all(
      keys.map(async (key) => {
        const subject = await callRedis(() => this.#client.get(key));
        const user = subject === null ? undefined : await this.get(subject);
        // The holder's record may be gone, or may have another username.
        return user && this.#keys.login(user.username) === key ? [user] : [];
      }),
    );
    return { users: users.flat(), ...rest };
  }

  /**
   * Prevents new sessions for a subject, even for a login that has already been verified. The subject need not be
   * registered. Existing sessions go on until the caller ends them.
   *
   * @returns When the subject was disabled, in milliseconds since 1970. Disabling it again does not change that.
   */
  async disable(subject: string): Promise<number> {
    const reply = await disableUser(this.#client, { keys: { user: this.#keys.user(subject) }, args: {} });
    return Number(reply['disabledAt']);
  }

  /** Allows a disabled subject to log in again. */
  async enable(subject: string): Promise<void> {
    await callRedis(() => this.#client.hdel(this.#keys.user(subject), 'disabledAt'));
  }

  /**
   * When a subject was disabled, in milliseconds since 1970; undefined if it is not disabled. The subject need not be
   * registered.
   */
  async disabledSince(subject: string): Promise<number | undefined> {
    return toInstant(await callRedis(() => this.#client.hget(this.#keys.user(subject), 'disabledAt')));
  }
}
