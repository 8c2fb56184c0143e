import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { scanKeys } from './search.js';
import { readUser, toTimestamp } from './user-record.js';
import { foldCase } from './username.js';

const disableSubject = defineScript({
  file: new URL('./scripts/disable.lua', import.meta.url),
  keys: ['user'],
  args: [],
  outcomes: ['disabled'],
});

/** A registered user. Timestamps are in milliseconds since the Unix epoch, from Redis's clock. */
export interface User {
  subject: string;
  username: string;
  createdAt: number;
  disabledAt?: number;
}

/**
 * Finds registered users, and disables and enables subjects. Does not use passwords.
 *
 * Every method throws {@link UnavailableError} if Redis does not answer.
 */
export class UserDirectory {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;

  constructor(client: RedisClient, keys: RedisKeys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** Returns a registered user; undefined if there is none or the registration is not yet confirmed. */
  async get(subject: string): Promise<User | undefined> {
    const user = await readUser(this.#client, this.#keys, subject);
    if (user?.createdAt === undefined) return undefined;
    const { username, createdAt, disabledAt } = user;
    return disabledAt === undefined ? { subject, username, createdAt } : { subject, username, createdAt, disabledAt };
  }

  /**
   * Finds users by the beginning of their usernames, page by page, in no particular order. A search from the first
   * page to the last scans the whole keyspace.
   *
   * @param prefix normalized like a username; '' matches every user.
   * @param cursor the `cursor` of the previous page; '' for the first.
   * @returns one page. The last page has no `cursor`; any page may be empty.
   * @throws {InvalidCursorError} if this method did not return the cursor.
   */
  async search(prefix: string, cursor = ''): Promise<{ users: User[]; cursor?: string }> {
    const { keys, ...rest } = await scanKeys(this.#client, this.#keys.login(foldCase(prefix)), cursor);
    const users = await Promise.all(
      keys.map(async (key) => {
        const subject = await callRedis(() => this.#client.get(key));
        const user = subject === null ? undefined : await this.get(subject);
        // The user may not exist (any more), or may have another username.
        return user && this.#keys.login(user.username) === key ? [user] : [];
      }),
    );
    return { users: users.flat(), ...rest };
  }

  /**
   * Prevents new sessions for a subject, even for a login that has already been verified. Also works for subjects
   * that are not registered. Does not end existing sessions: the caller must do that.
   *
   * @returns when the subject was disabled, in milliseconds since the Unix epoch: unchanged if it already was.
   */
  async disable(subject: string): Promise<number> {
    const reply = await disableSubject(this.#client, { keys: { user: this.#keys.user(subject) }, args: {} });
    return Number(reply.disabledAt);
  }

  /** Allows a disabled subject to log in again. */
  async enable(subject: string): Promise<void> {
    await callRedis(() => this.#client.hdel(this.#keys.user(subject), 'disabledAt'));
  }

  /**
   * Returns when a subject was disabled, in milliseconds since the Unix epoch; undefined if it is not disabled. Also
   * works for subjects that are not registered.
   */
  async disabledSince(subject: string): Promise<number | undefined> {
    return toTimestamp(await callRedis(() => this.#client.hget(this.#keys.user(subject), 'disabledAt')));
  }
}
