import { readRedisTime } from '../redis/clock.js';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { digestWithIssuer } from './digest.js';

/**
 * An account at a provider, identified by the `iss` and `sub` claims of its ID tokens. Accounts are never identified by
 * anything that can be reassigned, such as an email address.
 */
export interface ProviderAccount {
  readonly issuer: string;
  readonly sub: string;
}

/** A linked account: an account at a provider that a subject can log in with. */
export interface AccountLink {
  /** The SHA-256, in base64url, of the JSON `["<issuer>","<sub>"]`. */
  readonly id: string;
  /** The provider's name in latchkey's configuration. */
  readonly provider: string;
  /** Milliseconds since the Unix epoch. */
  readonly linkedAt: number;
}

const unlinkScript = defineScript({
  file: new URL('./scripts/unlink.lua', import.meta.url),
  keys: ['link'],
  args: ['subject'],
  outcomes: ['unlinked', 'unknown'],
});

/**
 * Stores which subject each provider account is linked to (`oidc:link:<id>`), and each subject's list of links (the
 * hash `links:<subject>`). In a Cluster the two keys are in different slots and cannot be updated atomically, so a list
 * entry is written before its link and deleted after it, and an entry without a matching link is ignored.
 *
 * Every method throws {@link UnavailableError} if Redis does not reply.
 */
export class AccountLinks {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;

  constructor(client: RedisClient, keys: RedisKeys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** @returns undefined if the account is not linked. */
  async findSubject(account: ProviderAccount): Promise<string | undefined> {
    return this.#findSubjectById(digestWithIssuer(account.issuer, account.sub));
  }

  /**
   * Links an account to a subject unless it is linked already. If several calls run concurrently, the first one wins
   * and all return its subject.
   *
   * @param provider the provider's name in latchkey's configuration, for the subject's list.
   * @returns the subject that the account is linked to now: the given one or, if it was linked before, another one.
   */
  async link(account: ProviderAccount, subject: string, provider: string): Promise<string> {
    const id = digestWithIssuer(account.issuer, account.sub);
    const list = this.#keys.links(subject);
    const record = JSON.stringify({ provider, linkedAt: await readRedisTime(this.#client) });
    await callRedis(() => this.#client.hsetnx(list, id, record));
    const linkedTo = (await callRedis(() => this.#client.set(this.#keys.link(id), subject, 'NX', 'GET'))) ?? subject;
    if (linkedTo !== subject) await callRedis(() => this.#client.hdel(list, id));
    return linkedTo;
  }

  /** Lists the accounts that are linked to a subject, oldest first. */
  async list(subject: string): Promise<AccountLink[]> {
    const records = await callRedis(() => this.#client.hgetall(this.#keys.links(subject)));
    const links = await Promise.all(
      Object.entries(records).map(async ([id, record]) => {
        const link = { id, ...(JSON.parse(record) as Omit<AccountLink, 'id'>) };
        return (await this.#findSubjectById(id)) === subject ? [link] : [];
      }),
    );
    return links.flat().sort((a, b) => a.linkedAt - b.linkedAt);
  }

  /** Removes a link. Does nothing if the account is not linked to the subject. */
  async unlink(subject: string, id: string): Promise<void> {
    await unlinkScript(this.#client, { keys: { link: this.#keys.link(id) }, args: { subject } });
    await callRedis(() => this.#client.hdel(this.#keys.links(subject), id));
  }

  async #findSubjectById(id: string): Promise<string | undefined> {
    return (await callRedis(() => this.#client.get(this.#keys.link(id)))) ?? undefined;
  }
}
