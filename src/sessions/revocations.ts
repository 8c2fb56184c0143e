import { partitionOf, type RedisKeys } from '../redis/keys.js';
import { waitForReplicas } from '../redis/replicas.js';
import type { RedisClient } from '../redis/script.js';
import { StaleCredentialError } from './errors.js';
import * as scripts from './scripts.js';
import { parseIdentity, splitIds } from './serialization.js';
import type { EndedReason, Identity } from './session.js';

/** About how many keys one run of the script deletes. Redis serves other clients between two runs. */
const BATCH_SIZE = 50;
/**
 * A credential change must end all sessions in one script: if it failed half-way, a user who only knows the old
 * password could not repeat it.
 */
const UNLIMITED_BATCH_SIZE = 1_000_000;
const REPLICATION_TIMEOUT_MS = 500;

export interface RevocationsOptions {
  readonly keys: RedisKeys;
  /** How many replicas must have a revocation before it is acknowledged; none by default. */
  readonly replicas?: number | undefined;
}

export interface RevokeAllRequest {
  readonly reason: EndedReason;
  /** The caller's own session. It is kept or, if `reason` is given, ended last, for that reason. */
  readonly own?: { readonly sessionId: string; readonly reason?: EndedReason };
  /** Replaces the credential and ends the sessions in one step, if the verified credential is still the stored one. */
  readonly credential?: { readonly verified: string; readonly replacement: string };
}

/** Ends sessions, and waits until enough replicas have the revocation. */
export class Revocations {
  readonly #redis: RedisClient;
  readonly #keys: RedisKeys;
  readonly #replicas: number;

  constructor(redis: RedisClient, { keys, replicas = 0 }: RevocationsOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#replicas = replicas;
  }

  /** Ends one session and returns its identity; undefined if there is none with this id of `subject`. */
  async revoke(
    partition: string,
    sessionId: string,
    { subject = '', reason }: { subject?: string; reason: EndedReason },
  ): Promise<Identity | undefined> {
    const reply = await this.#runRevoke(partition, sessionId, subject, reason);
    await this.awaitReplication(partition);
    return reply.outcome === 'revoked' ? parseIdentity(reply.principal!) : undefined;
  }

  /** Ends every session of a subject, in batches, and returns their ids. See {@link SessionStore.revokeAll}. */
  async revokeAll(subject: string, { reason, own, credential }: RevokeAllRequest): Promise<string[]> {
    const ended: string[] = [];
    for (;;) {
      const reply = await scripts.revokeAll(this.#redis, {
        keys: { sessions: this.#keys.sessions(subject), user: this.#keys.user(subject) },
        args: {
          reason,
          own: own?.sessionId ?? '',
          ownReason: own?.reason ?? '',
          batchSize: credential ? UNLIMITED_BATCH_SIZE : BATCH_SIZE,
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
   * Makes sure that enough replicas know of sessions that another script has ended: ends them again and waits. That
   * script may have run on another connection, and a failover since then may have restored the sessions. Does nothing
   * if no replicas are required.
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
   * Waits until enough replicas have all earlier revocations in a partition, so that no failover undoes one. A request
   * that is repeated after a failure must wait even if it finds nothing left to revoke.
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
