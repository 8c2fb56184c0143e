import { createHash } from 'node:crypto';
import { readRedisTime } from '../redis/clock.js';
import { callRedis } from '../redis/faults.js';
import type { Keys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';

/** Whom a provider knows: what its ID tokens say, and nothing that can change hands, such as an e-mail address. */
export interface ProviderAccount {
  readonly issuer: string;
  readonly sub: string;
}

/** An account at a provider that a subject can log in with. */
export interface Link {
  readonly id: string;
  /** The provider's name here. */
  readonly provider: string;
  /** Milliseconds since 1970. */
  readonly linkedAt: number;
}

const unlinkAccount = defineScript({
  file: new URL('./scripts/unlink.lua', import.meta.url),
  keys: ['link'],
  args: ['subject'],
  outcomes: ['unlinked', 'unknown'],
});

/**
 * Which subject of ours an account at an OpenID Connect provider belongs to, at `oidc:link:<id>`; and what a subject is linked to,
 * at `links:<subject>`. The two lie in different slots of a Cluster: the list is written first and cleared last, and what it
 * says counts only as far as the account says the same.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer.
 */
export class Links {
  readonly #client: RedisClient;
  readonly #keys: Keys;

  constructor(client: RedisClient, keys: Keys) {
    this.#client = client;
    this.#keys = keys;
  }

  async get(account: ProviderAccount): Promise<string | undefined> {
    return this.#ownerOf(idOf(account));
  }

  /**
   * Links an account that is not linked yet; of several at once exactly one succeeds.
   *
   * @param provider its name, for the subject's list.
   * @returns the subject that it is linked to then.
   */
  async link(account: ProviderAccount, subject: string, provider: string): Promise<string> {
    const id = idOf(account);
    const list = this.#keys.links(subject);
    const record = JSON.stringify({ provider, linkedAt: await readRedisTime(this.#client) });
    await callRedis(() => this.#client.hsetnx(list, id, record));
    const owner =
      (await callRedis(() => this.#client.set(this.#keys.oidc('link', id), subject, 'NX', 'GET'))) ?? subject;
    if (owner !== subject) await callRedis(() => this.#client.hdel(list, id));
    return owner;
  }

  /** What a subject is linked to, the oldest first. */
  async list(subject: string): Promise<Link[]> {
    const records = await callRedis(() => this.#client.hgetall(this.#keys.links(subject)));
    const links = await Promise.all(
      Object.entries(records).map(async ([id, record]) => {
        const link = { id, ...(JSON.parse(record) as Omit<Link, 'id'>) };
        return (await this.#ownerOf(id)) === subject ? [link] : [];
      }),
    );
    return links.flat().sort((a, b) => a.linkedAt - b.linkedAt);
  }

  /** Takes an account from a subject, whose login it is no more; nothing if it is not the subject's. */
  async unlink(subject: string, id: string): Promise<void> {
    await unlinkAccount(this.#client, { keys: { link: this.#keys.oidc('link', id) }, args: { subject } });
    await callRedis(() => this.#client.hdel(this.#keys.links(subject), id));
  }

  async #ownerOf(id: string): Promise<string | undefined> {
    return (await callRedis(() => this.#client.get(this.#keys.oidc('link', id)))) ?? undefined;
  }
}

function idOf({ issuer, sub }: ProviderAccount): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, sub]))
    .digest('base64url');
}
