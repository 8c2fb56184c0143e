import { callRedis } from '../redis/faults.js';
import type { Keys } from '../redis/keys.js';
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
  readonly #keys: Keys;

  constructor(client: RedisClient, keys: Keys) {
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
   * Finds the users whose names begin with `prefix`, in no order, one part at a time: each walk scans the whole keyspace.
   *
   * @param prefix normalized like a username; '' finds every user.
   * @param cursor the `cursor` of the previous part; '' for the first.
   * @returns one part, without `cursor` if it is the last. A part may be empty and not the last.
   * @throws {InvalidCursorError}
   */
  async search(prefix: string, cursor = ''): Promise<{ users: User[]; cursor?: string }> {
    const { keys, ...rest } = await scanKeys(this.#client, this.#keys.login(foldCase(prefix)), cursor);
    const users = await Promise.all(
      keys.map(async (key) => {
        const subject = await callRedis(() => this.#client.get(key));
        const user = subject === null ? undefined : await this.get(subject);
        // The holder of a name may be gone, or have another name by now.
        return user && this.#keys.login(user.username) === key ? [user] : [];
      }),
    );
    return { users: users.flat(), ...rest };
  }

  /**
   * Refuses a subject every new session, even if its login has already been verified. The subject need not be registered.
   * Sessions that exist are for the caller to end.
   *
   * @returns since when it has been disabled, in milliseconds since 1970; disabling it again does not change that.
   */
  async disable(subject: string): Promise<number> {
    const reply = await disableUser(this.#client, { keys: { user: this.#keys.user(subject) }, args: {} });
    return Number(reply['disabledAt']);
  }

  /** Lets a subject log in again. */
  async enable(subject: string): Promise<void> {
    await callRedis(() => this.#client.hdel(this.#keys.user(subject), 'disabledAt'));
  }

  /** Since when a subject, registered or not, has been disabled, in milliseconds since 1970; undefined if it is not. */
  async disabledSince(subject: string): Promise<number | undefined> {
    return toInstant(await callRedis(() => this.#client.hget(this.#keys.user(subject), 'disabledAt')));
  }
}
