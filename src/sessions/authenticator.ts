import type { Keys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { createBatchedLookup, type Lookup } from './lookup.js';
import type { Principal } from './session.js';
import { type AccessToken, parseAccessToken } from './token.js';

const confirm = defineScript({
  file: new URL('./scripts/confirm.lua', import.meta.url),
  prelude: new URL('./scripts/prelude.lua', import.meta.url),
  keys: ['session'],
  args: ['access'],
  outcomes: ['confirmed', 'unchanged'],
});

/** What an access key holds: `unconfirmed` until the first use after a rotation. */
type Stored = Principal & { readonly unconfirmed?: true };

/** The principal that an access key holds. */
export function parsePrincipal(value: string): Principal {
  const { unconfirmed: _, ...principal } = JSON.parse(value) as Stored;
  return principal;
}

const NO_PRINCIPAL = Promise.resolve(undefined);

export interface RedisClients {
  readonly lookups: RedisClient;
  readonly scripts: RedisClient;
  /** For what is acknowledged only when replicas have it, which nothing else should wait for; `scripts` if it is not given. */
  readonly revocations?: RedisClient | undefined;
}

export interface AuthenticatorOptions {
  readonly keys: Keys;
  /** Told of what failed off the path of any response: a confirmation, which the token's next use repeats. */
  readonly onBackgroundFault: (error: unknown) => void;
}

/** Proves access tokens: from a token to its principal, by one read. */
export class Authenticator {
  readonly #scripts: RedisClient;
  readonly #lookup: Lookup;
  readonly #options: AuthenticatorOptions;
  readonly #confirming = new Map<string, Promise<void>>();
  /** The tokens whose read is not yet on its way to Redis, each with what it will prove. */
  readonly #unsentReads = new Map<string, Promise<Principal | undefined>>();

  /** `lookups` and `scripts` may be one client; two keep slow scripts out of the way of lookups. */
  constructor(clients: RedisClients, options: AuthenticatorOptions) {
    this.#lookup = createBatchedLookup(clients.lookups, () => this.#unsentReads.clear());
    this.#scripts = clients.scripts;
    this.#options = options;
  }

  /**
   * What an access token proves, frozen; undefined when it is malformed, expired, revoked or unknown.
   * A token that is not well-formed never reaches Redis. One that is shown again before its read is sent shares the read.
   *
   * @throws {UnavailableError} when Redis does not answer in its deadline.
   */
  authenticate(token: string): Promise<Principal | undefined> {
    const asked = this.#unsentReads.get(token);
    if (asked) return asked;
    const access = parseAccessToken(token);
    if (!access) return NO_PRINCIPAL;
    const proof = this.#lookup(this.#options.keys.access(access.partition, access.digest)).then((value) =>
      value === null ? undefined : this.#toPrincipal(access, value),
    );
    this.#unsentReads.set(token, proof);
    return proof;
  }

  /** Waits for what still goes on off the path of any response. */
  async close(): Promise<void> {
    await Promise.all(this.#confirming.values());
  }

  #toPrincipal(access: AccessToken, value: string): Principal {
    const stored = JSON.parse(value) as Stored;
    if (!stored.unconfirmed) return deepFreeze(stored);
    this.#confirm(access, stored.sessionId);
    return deepFreeze(parsePrincipal(value));
  }

  #confirm({ partition, digest }: AccessToken, sessionId: string): void {
    if (this.#confirming.has(digest)) return;
    const confirming = confirm(this.#scripts, {
      keys: { session: this.#options.keys.session(partition, sessionId) },
      args: { access: digest },
    })
      .then(() => {}, this.#options.onBackgroundFault)
      .finally(() => this.#confirming.delete(digest));
    this.#confirming.set(digest, confirming);
  }
}

/** Several requests may hold it. */
function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value))
    if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  return Object.freeze(value);
}
