import { hash } from 'node:crypto';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';

/** How long a user has to log in at the provider, in milliseconds. */
export const LOGIN_ATTEMPT_LIFETIME_MS = 10 * 60_000;

/** What has to be remembered between the authorization request and its callback. */
export interface LoginAttempt {
  /** The provider's name here. */
  readonly provider: string;
  /** The PKCE code verifier (RFC 7636). */
  readonly verifier: string;
  readonly nonce: string;
  /** Where the provider sends the browser back to. */
  readonly redirectUri: string;
  /** The path to go to after the login. */
  readonly to: string;
  /** Present when the account is to be linked to this subject instead of logged in with. */
  readonly link?: LinkRequest;
}

export interface LinkRequest {
  readonly subject: string;
  /** When the user asked for the link, in milliseconds since 1970. */
  readonly begunAt: number;
}

/** An attempt as Redis keeps it: bound to the browser that began it by the SHA-256 of the browser's binding secret. */
interface StoredAttempt extends LoginAttempt {
  readonly browser: string;
}

/**
 * Logins at providers that have begun and not come back yet. Each is kept at `oidc:login:<SHA-256 of its state>` for
 * ten minutes and can be taken once. A browser can have several at a time.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer.
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
   * Takes an attempt and deletes it, whether or not browser and provider match.
   *
   * @returns undefined unless the attempt exists and began in this browser and with this provider.
   */
  async consume(
    state: string,
    { binding, provider }: { binding: string | undefined; provider: string },
  ): Promise<LoginAttempt | undefined> {
    const stored = await callRedis(() => this.#client.getdel(this.#keyOf(state)));
    if (stored === null) return undefined;
    const { browser, ...attempt } = JSON.parse(stored) as StoredAttempt;
    const isOurs = binding !== undefined && browser === sha256(binding) && attempt.provider === provider;
    return isOurs ? attempt : undefined;
  }

  #keyOf(state: string): string {
    return this.#keys.loginAttempt(sha256(state));
  }
}

function sha256(text: string): string {
  return hash('sha256', text, 'base64url');
}
