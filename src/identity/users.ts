import { randomBytes } from 'node:crypto';
import { LatchkeyError, UnavailableError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import type { Keys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import type { PasswordHasher } from './hasher.js';
import { checkNewPassword, normalizePassword, PasswordNotAllowedError } from './password.js';
import { keysFrom } from './search.js';
import { foldCase, InvalidUsernameError, normalizeUsername } from './username.js';

const PENDING_MS = 60_000;
const CLAIM_ATTEMPTS = 5;
const SUBJECT_BYTES = 16;

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

export const rehashPassword = defineScript({
  file: new URL('./scripts/rehash.lua', import.meta.url),
  keys: ['user'],
  args: ['verified', 'rehashed'],
  outcomes: ['replaced', 'changed'],
});

export const disableUser = defineScript({
  file: new URL('./scripts/disable.lua', import.meta.url),
  keys: ['user'],
  args: [],
  outcomes: ['disabled'],
});

/** Who may log in. Instants are in milliseconds since the epoch, by Redis's clock. */
export interface User {
  subject: string;
  username: string;
  createdAt: number;
  disabledAt?: number;
}

/** A user whose password was verified. */
export interface VerifiedUser {
  subject: string;
  username: string;
  /** The stored hash (PHC string) that the password was verified against; who acts on it makes sure that it is still stored. */
  credential: string;
}

/** Another user has this name. */
export class UsernameTakenError extends LatchkeyError {
  constructor() {
    super('username_taken', 'The username is taken');
  }
}

export interface UsersOptions {
  /** Characters that a new password has at least; 15 by default. */
  minimumPasswordLength?: number | undefined;
}

interface UserRecord {
  subject: string;
  username: string;
  password: string | undefined;
  createdAt: number | undefined;
  disabledAt: number | undefined;
}

/**
 * The users: a record at `user:<subject>`, found by the name at `login:<username>`.
 *
 * The two live in different slots of a Cluster, so a registration takes three scripts, in an order that
 * never leaves a name blocked or shared: a record that expires by itself, then the name, then the record made
 * permanent. A name is held only as long as its holder's record exists, and a record that is gone never returns,
 * so taking the name of one that is gone and confirming it exclude each other.
 */
export class Users {
  readonly #client: RedisClient;
  readonly #keys: Keys;
  readonly #hasher: PasswordHasher;
  readonly #minimumPasswordLength: number | undefined;

  constructor(client: RedisClient, keys: Keys, hasher: PasswordHasher, options: UsersOptions = {}) {
    this.#client = client;
    this.#keys = keys;
    this.#hasher = hasher;
    this.#minimumPasswordLength = options.minimumPasswordLength;
  }

  /**
   * Registers a user under a name that nobody has; of several at once exactly one succeeds.
   *
   * @returns a random subject (128 bits in base64url, 22 characters) and the normalized username.
   * @throws {InvalidUsernameError} {@link PasswordNotAllowedError} {@link UsernameTakenError}
   * @throws {UnavailableError} when Redis does not answer or too many passwords are hashed; the name is free again within a minute.
   */
  async register(input: { username: string; password: string; signal?: AbortSignal }): Promise<{
    subject: string;
    username: string;
  }> {
    const username = normalizeUsername(input.username);
    const password = this.#checkNew(input.password, username);
    await this.#goneHolder(username, await this.#holder(username));
    const hash = await this.#hasher.hash(password, input.signal);

    const subject = newSubject();
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

  /**
   * The user whose name and password these are. An unknown or disabled user, a wrong password, and a name or
   * password that nobody can have give the same `undefined` at the cost of the same one hash.
   *
   * @param input.onKnown told the subject whose name it is, if it is anybody's, whatever comes of the password.
   * @throws {UnavailableError} when Redis does not answer or too many passwords are hashed; the signal's reason when it is aborted.
   */
  async verify(input: {
    username: string;
    password: string;
    signal?: AbortSignal;
    onKnown?: (subject: string) => void;
  }): Promise<VerifiedUser | undefined> {
    const username = valueUnless(InvalidUsernameError, () => normalizeUsername(input.username));
    const user = username === undefined ? undefined : await this.#byUsername(username);
    if (user) input.onKnown?.(user.subject);
    const verified = await this.#verifyPassword(user, input.password, input.signal);
    return verified && (await this.#rehashed(verified, input.password));
  }

  /**
   * As {@link verify}, for a user who is known: the password of someone who is logged in and wants to change it.
   *
   * @throws {UnavailableError} as verify.
   */
  async checkPassword(subject: string, password: string, signal?: AbortSignal): Promise<VerifiedUser | undefined> {
    return this.#verifyPassword(await this.#read(subject), password, signal);
  }

  /**
   * The PHC string of a new password, for the script that stores it and ends the sessions that began with the old one.
   *
   * @throws {PasswordNotAllowedError}
   * @throws {UnavailableError} when too many passwords are hashed; the signal's reason when it is aborted.
   */
  async newCredential(password: string, username: string, signal?: AbortSignal): Promise<string> {
    return this.#hasher.hash(this.#checkNew(password, username), signal);
  }

  /** A registered user. @throws {UnavailableError} when Redis does not answer. */
  async get(subject: string): Promise<User | undefined> {
    const user = await this.#read(subject);
    if (user?.createdAt === undefined) return undefined;
    const { username, createdAt, disabledAt } = user;
    return disabledAt === undefined ? { subject, username, createdAt } : { subject, username, createdAt, disabledAt };
  }

  /**
   * The users whose names begin so, in no order, a part at a time: the whole keyspace is walked through.
   *
   * @param prefix normalized like a username; '' for every user.
   * @param cursor where the part before ended; '' for the first.
   * @returns without `cursor` when there are no more; a part may be empty and have one.
   * @throws {InvalidCursorError} {@link UnavailableError}
   */
  async search(prefix: string, cursor = ''): Promise<{ users: User[]; cursor?: string }> {
    const { keys, ...rest } = await keysFrom(this.#client, this.#keys.login(foldCase(prefix)), cursor);
    const users = await Promise.all(
      keys.map(async (key) => {
        const subject = await callRedis(() => this.#client.get(key));
        const user = subject === null ? undefined : await this.get(subject);
        // A name can be held by a user who is gone.
        return user && this.#keys.login(user.username) === key ? [user] : [];
      }),
    );
    return { users: users.flat(), ...rest };
  }

  /**
   * Refuses a subject every new session from now on, one that has no record here too.
   * A login that was verified before cannot begin a session any more; sessions that stand are the caller's to end.
   *
   * @returns since when it is disabled, milliseconds since 1970.
   */
  async disable(subject: string): Promise<number> {
    const reply = await disableUser(this.#client, { keys: { user: this.#keys.user(subject) }, args: {} });
    return Number(reply['disabledAt']);
  }

  /** Lets a subject log in again. */
  async enable(subject: string): Promise<void> {
    await callRedis(() => this.#client.hdel(this.#keys.user(subject), 'disabledAt'));
  }

  /** Since when a subject, registered or not, is disabled, milliseconds since 1970; undefined if it is not. */
  async disabledSince(subject: string): Promise<number | undefined> {
    return instant(await callRedis(() => this.#client.hget(this.#keys.user(subject), 'disabledAt')));
  }

  #checkNew(password: string, username: string): string {
    return checkNewPassword(password, { username, minimumLength: this.#minimumPasswordLength });
  }

  async #claim(username: string, subject: string): Promise<void> {
    let gone = '';
    for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
      const reply = await claimLogin(this.#client, {
        keys: { login: this.#keys.login(username) },
        args: { subject, gone },
      });
      if (reply.outcome === 'claimed') return;
      gone = await this.#goneHolder(username, reply['subject']);
    }
    throw new UnavailableError('The username changes hands too fast');
  }

  /** The subject at a login name, if it names no user any more. @throws {UsernameTakenError} if it does. */
  async #goneHolder(username: string, holder: string | undefined): Promise<string> {
    if (holder === undefined) return '';
    const user = await this.#read(holder);
    if (user?.username === username) throw new UsernameTakenError();
    return holder;
  }

  async #holder(username: string): Promise<string | undefined> {
    const subject = await callRedis(() => this.#client.get(this.#keys.login(username)));
    return subject ?? undefined;
  }

  async #byUsername(username: string): Promise<UserRecord | undefined> {
    // An unknown name takes the second read too: time must not tell it from a known one.
    const user = await this.#read((await this.#holder(username)) ?? newSubject());
    return user?.username === username ? user : undefined;
  }

  async #read(subject: string): Promise<UserRecord | undefined> {
    const key = this.#keys.user(subject);
    const [username, password, createdAt, disabledAt] = await callRedis(() =>
      this.#client.hmget(key, 'username', 'password', 'createdAt', 'disabledAt'),
    );
    if (!username) return undefined;
    return {
      subject,
      username,
      password: password ?? undefined,
      createdAt: instant(createdAt),
      disabledAt: instant(disabledAt),
    };
  }

  async #verifyPassword(
    user: UserRecord | undefined,
    input: string,
    signal: AbortSignal | undefined,
  ): Promise<VerifiedUser | undefined> {
    const password = valueUnless(PasswordNotAllowedError, () => normalizePassword(input));
    const matches =
      user?.password === undefined || password === undefined
        ? await this.#hasher.verifyNothing(password ?? '', signal)
        : await this.#hasher.verify(user.password, password, signal);
    if (!matches || !user?.password || user.createdAt === undefined || user.disabledAt !== undefined) return undefined;
    return { subject: user.subject, username: user.username, credential: user.password };
  }

  /** The same user with the credential that is stored after bringing its hash up to today's parameters. */
  async #rehashed(user: VerifiedUser, input: string): Promise<VerifiedUser | undefined> {
    const { subject, username, credential: verified } = user;
    if (!this.#hasher.needsRehash(verified)) return user;
    const password = normalizePassword(input);
    try {
      const rehashed = await this.#hasher.hash(password);
      const keys = { user: this.#keys.user(subject) };
      const reply = await rehashPassword(this.#client, { keys, args: { verified, rehashed } });
      if (reply.outcome === 'replaced') return { subject, username, credential: rehashed };
      // Another login rehashed it, or the password was changed: only the first leaves this login standing.
      const stored = reply['password'];
      if (stored === undefined || !(await this.#hasher.verify(stored, password))) return undefined;
      return { subject, username, credential: stored };
    } catch (error) {
      if (error instanceof UnavailableError) return user;
      throw error;
    }
  }
}

function newSubject(): string {
  return randomBytes(SUBJECT_BYTES).toString('base64url');
}

function instant(text: string | null | undefined): number | undefined {
  return text ? Number(text) : undefined;
}

function valueUnless<T>(refusal: new (...args: never[]) => Error, value: () => T): T | undefined {
  try {
    return value();
  } catch (error) {
    if (error instanceof refusal) return undefined;
    throw error;
  }
}
