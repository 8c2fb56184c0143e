import { createHash } from 'node:crypto';
import { translatingFaults } from '../redis/fault.js';
import type { Keys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';

/** Whom a provider knows: what its ID tokens say, and nothing that can change hands, such as an e-mail address. */
export interface ProviderAccount {
  readonly issuer: string;
  readonly sub: string;
}

/** Which subject of ours an account at an OpenID Connect provider belongs to. */
export class Links {
  readonly #client: RedisClient;
  readonly #keys: Keys;

  constructor(client: RedisClient, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** @throws {UnavailableError} when Redis does not answer. */
  async get(account: ProviderAccount): Promise<string | undefined> {
    return (await translatingFaults(() => this.#client.get(this.#key(account)))) ?? undefined;
  }

  /**
   * Links an account that is not linked yet, for good; of several at once exactly one succeeds.
   *
   * @returns the subject that it is linked to then.
   * @throws {UnavailableError} when Redis does not answer.
   */
  async link(account: ProviderAccount, subject: string): Promise<string> {
    const key = this.#key(account);
    return (await translatingFaults(() => this.#client.set(key, subject, 'NX', 'GET'))) ?? subject;
  }

  #key({ issuer, sub }: ProviderAccount): string {
    return this.#keys.oidc('link', createHash('sha256').update(JSON.stringify([issuer, sub])).digest('base64url'));
  }
}
