import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import { createBatchedLookup, type Lookup } from './lookup.js';
import { confirm } from './scripts.js';
import { type AccessValue, toPrincipal } from './serialization.js';
import type { Principal } from './session.js';
import { type AccessToken, parseAccessToken } from './token.js';

const NO_PRINCIPAL = Promise.resolve(undefined);

export interface RedisClients {
  readonly lookups: RedisClient;
  readonly scripts: RedisClient;
  /** For revocations that wait for replicas, which blocks all other commands of a connection; `scripts` by default. */
  readonly revocations?: RedisClient | undefined;
}

export interface AuthenticatorOptions {
  readonly keys: RedisKeys;
  /** Called if a confirmation fails in the background. The next use of the token retries it. */
  readonly onBackgroundFault: (error: unknown) => void;
}

/** Authenticates access tokens, with at most one read of Redis for each. */
export class Authenticator {
  readonly #scripts: RedisClient;
  readonly #lookup: Lookup;
  readonly #options: AuthenticatorOptions;
  /** Running confirmations, by the digest of the access token. */
  readonly #confirming = new Map<string, Promise<unknown>>();
  /** Reads that have not been sent to Redis yet, by token. */
  readonly #unsentReads = new Map<string, Promise<Principal | undefined>>();

  /** All clients may be the same; with separate ones, slow scripts do not delay lookups. */
  constructor(clients: RedisClients, options: AuthenticatorOptions) {
    this.#lookup = createBatchedLookup(clients.lookups, () => this.#unsentReads.clear());
    this.#scripts = clients.scripts;
    this.#options = options;
  }

  /**
   * Returns the principal of an access token, frozen; undefined if the token is malformed, expired, revoked or unknown.
   * A malformed token never reaches Redis. Requests with the same token share one read until it is sent.
   *
   * @throws {UnavailableError} if Redis does not answer in time.
   *
   * @example
   * const principal = await authenticator.authenticate(accessToken);
   * if (principal) console.log(principal.subject);
   */
  authenticate(token: string): Promise<Principal | undefined> {
    const unsent = this.#unsentReads.get(token);
    if (unsent) return unsent;
    const access = parseAccessToken(token);
    if (!access) return NO_PRINCIPAL;
    const read = this.#lookup(this.#options.keys.access(access.partition, access.digest)).then((value) =>
      value === null ? undefined : this.#readPrincipal(access, value),
    );
    this.#unsentReads.set(token, read);
    return read;
  }

  /** Waits for the confirmations that are still running in the background. */
  async close(): Promise<void> {
    await Promise.all(this.#confirming.values());
  }

  /** Reads the value of an access key. If its pair is unconfirmed, starts the confirmation in the background. */
  #readPrincipal(access: AccessToken, value: string): Principal {
    const stored = JSON.parse(value) as AccessValue;
    if (!stored.unconfirmed) return deepFreeze(stored);
    this.#confirm(access, stored.sessionId);
    return deepFreeze(toPrincipal(stored));
  }

  #confirm({ partition, digest }: AccessToken, sessionId: string): void {
    if (this.#confirming.has(digest)) return;
    const confirming = confirm(this.#scripts, {
      keys: { session: this.#options.keys.session(partition, sessionId) },
      args: { access: digest },
    })
      .catch(this.#options.onBackgroundFault)
      .finally(() => this.#confirming.delete(digest));
    this.#confirming.set(digest, confirming);
  }
}

/** Freezes a principal and everything in it, because several requests may share it. */
function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value))
    if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  return Object.freeze(value);
}
