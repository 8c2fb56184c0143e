import { type RedisKeys, partitionOf } from '../redis/keys.js';
import { waitForReplicas } from '../redis/replicas.js';
import type { RedisClient } from '../redis/script.js';
import { StaleCredentialError } from './errors.js';
import * as scripts from './scripts.js';
import type { EndedReason, Identity } from './session.js';
import { parseIdentity, splitIds } from './serialization.js';

/** How many keys one script removes at most. Redis serves other clients between two scripts. */
const MAX_CHUNK = 50;
/**
 * A credential change must end all sessions in one script: if it failed half-way, a user who only knows the old
 * password could not repeat it.
 */
const UNLIMITED_CHUNK = 1_000_000;
const REPLICATION_TIMEOUT_MS = 500;

export interface RevocationsOptions {
  readonly keys: RedisKeys;
  /** How many replicas must have a revocation before it is acknowledged; none by default. */
  readonly replicas?: number | undefined;
}

export interface RevokeAllRequest {
  readonly reason: EndedReason;
  /** The session that asks. It is spared or, if `reason` is given, ended last and for that reason. */
  readonly own?: { readonly sessionId: string; readonly reason?: EndedReason };
  /** Replaces the credential in the same script that ends the sessions, if the verified one is still stored. */
  readonly credential?: { readonly verified: string; readonly replacement: string };
}

/** Ends sessions, and waits until enough replicas know that they have ended. */
export class Revocations {
  readonly #redis: RedisClient;
  readonly #keys: RedisKeys;
  readonly #replicas: number;

  constructor(redis: RedisClient, { keys, replicas = 0 }: RevocationsOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#replicas = replicas;
  }

  /** Ends one session, and returns whose it was; undefined if there is no such session, or not of this `subject`. */
  async revoke(
    partition: string,
    sessionId: string,
    { subject = '', reason }: { subject?: string; reason: EndedReason },
  ): Promise<Identity | undefined> {
    const reply = await this.#runRevoke(partition, sessionId, subject, reason);
    await this.awaitReplication(partition);
    return reply.outcome === 'revoked' ? parseIdentity(reply.principal!) : undefined;
  }

  /** See {@link SessionStore.revokeAll}. */
  async revokeAll(subject: string, { reason, own, credential }: RevokeAllRequest): Promise<string[]> {
    const ended: string[] = [];
    for (;;) {
      const reply = await scripts.revokeAll(this.#redis, {
        keys: { sessions: this.#keys.sessions(subject), user: this.#keys.user(subject) },
        args: {
          reason,
          own: own?.sessionId ?? '',
          ownReason: own?.reason ?? '',
          chunk: credential ? UNLIMITED_CHUNK : MAX_CHUNK,
          credential: credential?.verified ?? '',
          replacement: credential?.replacement ?? '',
        },
      });
      if (reply.outcome === 'stale') throw new StaleCredentialError();
      ended.push(...splitIds(reply.ended));
      if (reply.outcome === 'revoked') break;
    }
    await this.awaitReplication(partitionOf(subject));
    return ended;
  }

  /**
   * Ends sessions again that another script has just ended, and waits for replicas. That script may have run on another
   * connection, and a failover since then may have brought the sessions back.
   */
  async ensureReplicated(
    partition: string,
    sessionIds: readonly string[],
    { subject = '', reason }: { subject?: string; reason: EndedReason },
  ): Promise<void> {
    if (sessionIds.length === 0 || this.#replicas === 0) return;
    for (const sessionId of sessionIds) await this.#runRevoke(partition, sessionId, subject, reason);
    await this.awaitReplication(partition);
  }

  /**
   * Waits until enough replicas have all revocations in a partition, so that no failover undoes one. A request that is
   * repeated after a failure must wait even if it finds nothing left to revoke.
   *
   * @throws {UnavailableError} if too few replicas have them in time.
   */
  async awaitReplication(partition: string): Promise<void> {
    if (this.#replicas === 0) return;
    await waitForReplicas(this.#redis, this.#keys.replicationMarker(partition), {
      replicas: this.#replicas,
      timeoutMs: REPLICATION_TIMEOUT_MS,
    });
  }

  #runRevoke(partition: string, sessionId: string, subject: string, reason: EndedReason) {
    const session = this.#keys.session(partition, sessionId);
    return scripts.revoke(this.#redis, { keys: { session }, args: { sessionId, subject, reason } });
  }
}
