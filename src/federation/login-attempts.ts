import { hash } from 'node:crypto';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';

/** How long a user has to log in at the provider, in milliseconds. */
export const LOGIN_ATTEMPT_LIFETIME_MS = 10 * 60_000;

/** State that is kept between the authorization request and its callback. */
export interface LoginAttempt {
  /** The provider's name in latchkey's configuration. */
  readonly provider: string;
  /** The PKCE code verifier (RFC 7636). */
  readonly verifier: string;
  readonly nonce: string;
  /** The callback URL, which the provider redirects the browser to. */
  readonly redirectUri: string;
  /** The path to go to after the login. */
  readonly to: string;
  /** Present if the account is to be linked to a subject rather than used to log in. */
  readonly link?: LinkRequest;
}

export interface LinkRequest {
  readonly subject: string;
  /** When the user asked for the link, in milliseconds since the Unix epoch. */
  readonly begunAt: number;
}

/** An attempt as it is stored in Redis: `browser` is the SHA-256 of the binding secret of the browser that began it. */
interface StoredAttempt extends LoginAttempt {
  readonly browser: string;
}

/**
 * Pending logins at providers. Each is stored at `oidc:login:<SHA-256 of its state>` for ten minutes and can be
 * consumed once. A browser can have several at a time.
 *
 * Every method throws {@link UnavailableError} if Redis does not reply.
 */
export class LoginAttempts {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;

  constructor(client: RedisClient, keys: RedisKeys) {
    this.#client = client;
    this.#keys = keys;
  }

  /**
   * @param state the `state` of the authorization request.
   * @param binding the secret of the browser that the attempt is bound to.
   */
  async begin(state: string, binding: string, attempt: LoginAttempt): Promise<void> {
    const record: StoredAttempt = { ...attempt, browser: sha256(binding) };
    await callRedis(() =>
      this.#client.set(this.#keyOf(state), JSON.stringify(record), 'PX', LOGIN_ATTEMPT_LIFETIME_MS),
    );
  }

  /**
   * Reads an attempt and deletes it, whether or not the browser and provider match.
   *
   * @returns the attempt; undefined if it does not exist or belongs to another browser or provider.
   */
  async consume(
    state: string,
    { binding, provider }: { binding: string | undefined; provider: string },
  ): Promise<LoginAttempt | undefined> {
    const stored = await callRedis(() => this.#client.getdel(this.#keyOf(state)));
    if (stored === null) return undefined;
    const { browser, ...attempt } = JSON.parse(stored) as StoredAttempt;
    const matches = binding !== undefined && browser === sha256(binding) && attempt.provider === provider;
    return matches ? attempt : undefined;
  }

  #keyOf(state: string): string {
    return this.#keys.loginAttempt(sha256(state));
  }
}

function sha256(text: string): string {
  return hash('sha256', text, 'base64url');
}
