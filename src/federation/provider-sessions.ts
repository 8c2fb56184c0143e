import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import { digestWithIssuer } from './digest.js';

const EXPIRY_MARGIN_MS = 60_000;

/** A session at a provider, identified by the `iss` and `sid` claims of its tokens. */
export interface ProviderSession {
  readonly issuer: string;
  readonly sid: string;
}

/**
 * Stores the subject of each session at a provider, at `oidc:session:<SHA-256 of ["issuer","sid"]>`. It is needed
 * because a logout token may identify the session by `sid` alone. An entry may outlive its session.
 *
 * Every method throws {@link UnavailableError} if Redis does not reply.
 */
export class ProviderSessions {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;
  readonly #lifetimeMs: number;

  /** @param sessionLifetimeMs the absolute lifetime of latchkey's sessions. */
  constructor(client: RedisClient, keys: RedisKeys, sessionLifetimeMs: number) {
    this.#client = client;
    this.#keys = keys;
    this.#lifetimeMs = sessionLifetimeMs + EXPIRY_MARGIN_MS;
  }

  /** Call this before issuing the session, so that no session exists without its entry. */
  async save(session: ProviderSession, subject: string): Promise<void> {
    await callRedis(() => this.#client.set(this.#keyOf(session), subject, 'PX', this.#lifetimeMs));
  }

  /** @returns undefined if no login used that session. */
  async findSubject(session: ProviderSession): Promise<string | undefined> {
    return (await callRedis(() => this.#client.get(this.#keyOf(session)))) ?? undefined;
  }

  #keyOf({ issuer, sid }: ProviderSession): string {
    return this.#keys.providerSession(digestWithIssuer(issuer, sid));
  }
}
