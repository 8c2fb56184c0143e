import type { Lifetimes } from '../options.js';
import { callRedis } from '../redis/faults.js';
import { partitionOf } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import { Authenticator, type AuthenticatorOptions, type RedisClients } from './authenticator.js';
import { checkIdentity, patchSessionData } from './data.js';
import { StaleCredentialError } from './errors.js';
import { Revocations, type RevokeAllRequest } from './revocations.js';
import * as scripts from './scripts.js';
import { parseIdentity, parseSession, serializeIdentity, splitIds, toIssuedTokens } from './serialization.js';
import type {
  DisplacedSessions,
  EndedReason,
  EndedSession,
  Identity,
  IssuedTokens,
  IssueRequest,
  Principal,
  RefreshTokenInspection,
  Rotation,
  Session,
  SessionData,
} from './session.js';
import { parseAccessToken, type RefreshToken, type TokenKeys } from './token.js';

const MAX_LISTED_SESSIONS = 1000;

export interface StoreOptions extends AuthenticatorOptions {
  readonly tokenKeys: TokenKeys;
  readonly lifetimes: Lifetimes;
  readonly sessionsPerUser: number;
  /** How many replicas must have a revocation before it is acknowledged; none by default. */
  readonly revocationReplicas?: number | undefined;
}

/**
 * Sessions in Redis: the facade of this folder. Each decision is made by one Lua script, by the clock of Redis alone.
 *
 * Every method throws {@link UnavailableError} if Redis does not reply in time. The call may then have taken effect
 * or not; repeating it is safe.
 */
export class SessionStore {
  readonly #redis: RedisClient;
  readonly #authenticator: Authenticator;
  readonly #revocations: Revocations;
  readonly #options: StoreOptions;

  /** All clients may be the same; with separate ones, slow commands do not delay fast ones. */
  constructor(clients: RedisClients, options: StoreOptions) {
    this.#redis = clients.scripts;
    this.#authenticator = new Authenticator(clients, options);
    this.#revocations = new Revocations(clients.revocations ?? clients.scripts, {
      keys: options.keys,
      replicas: options.revocationReplicas,
    });
    this.#options = options;
  }

  /**
   * Starts a session and returns its first pair of tokens, with the ids of the sessions that it evicted or replaced.
   *
   * @throws {StaleCredentialError} if the credential has changed since it was verified, or the user is disabled.
   * @throws {InvalidSubjectError} if the subject is empty, longer than 255 bytes or not well-formed Unicode.
   * @throws {InvalidIdentityError} if another string of the identity is not well-formed Unicode.
   * @throws {InvalidSessionDataError} if the data is too large, nested too deeply or not well-formed Unicode.
   *
   * @example
   * const { pair, principal } = await app.latchkey.issue({
   *   identity: { subject: 'user-1', methods: ['pwd'] },
   *   origin: { device: 'Firefox on Linux', address: request.ip },
   * });
   */
  async issue(request: IssueRequest): Promise<IssuedTokens & DisplacedSessions> {
    const { identity, authenticatedAt, credential = '', origin, supersedes = '', lifetimeMs = Infinity } = request;
    const { keys, tokenKeys, lifetimes } = this.#options;
    checkIdentity(identity);
    const { subject } = identity;
    const pair = tokenKeys.mint(partitionOf(subject));
    const { sessionId, partition } = pair.refresh;
    const reply = await scripts.issue(this.#redis, {
      keys: { session: keys.session(partition, sessionId), sessions: keys.sessions(subject), user: keys.user(subject) },
      args: {
        sessionId,
        credential,
        principal: serializeIdentity(identity),
        authenticatedAt: authenticatedAt ?? '',
        client: identity.client ?? '',
        refresh: pair.refresh.digest,
        access: pair.access.digest,
        device: origin.device,
        address: origin.address,
        accessLifetime: lifetimes.accessLifetimeMs,
        refreshLifetime: lifetimes.refreshLifetimeMs,
        sessionLifetime: Math.min(lifetimes.sessionLifetimeMs, lifetimeMs),
        maxSessions: this.#options.sessionsPerUser,
        supersedes,
      },
    });
    if (reply.outcome !== 'issued') throw new StaleCredentialError();
    const displaced: DisplacedSessions = { evicted: splitIds(reply.evicted), superseded: splitIds(reply.superseded) };
    for (const reason of ['evicted', 'superseded'] as const)
      await this.#revocations.ensureReplicated(partition, displaced[reason], { subject, reason });
    return { ...toIssuedTokens(pair, reply), ...displaced };
  }

  /** See {@link Authenticator.authenticate}. */
  authenticate(token: string): Promise<Principal | undefined> {
    return this.#authenticator.authenticate(token);
  }

  /**
   * Returns when an access token was issued, in milliseconds since the Unix epoch. If the end of its session cut the
   * lifetime of the token short, the result is earlier than the actual time by as much.
   */
  issuedAtOf({ expiresAt }: Principal): number {
    return expiresAt - this.#options.lifetimes.accessLifetimeMs;
  }

  /** See {@link TokenKeys.parse}. */
  parseRefreshToken(token: string): RefreshToken | undefined {
    return this.#options.tokenKeys.parse(token);
  }

  /**
   * Exchanges a refresh token for a pair of tokens: the next pair, or the current one again while it is open
   * (ARCHITECTURE.md). Presenting the previous token once the current pair is closed, or an older token at any time,
   * ends the session (RFC 9700 section 4.14.2).
   *
   * @param client the OAuth client that presents the token. Sessions that were not issued to it are `unknown`.
   */
  async rotate(
    presented: RefreshToken,
    { address, client = '' }: { address: string; client?: string },
  ): Promise<Rotation> {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const { sessionId, partition } = presented;
    const own = tokenKeys.derivePair(presented);
    const next = tokenKeys.deriveSuccessor(presented);
    const reply = await scripts.rotate(this.#redis, {
      keys: { session: keys.session(partition, sessionId) },
      args: {
        sessionId,
        client,
        generation: presented.generation,
        refresh: presented.digest,
        access: own.access.digest,
        nextRefresh: next.refresh.digest,
        nextAccess: next.access.digest,
        address,
        accessLifetime: lifetimes.accessLifetimeMs,
        refreshLifetime: lifetimes.refreshLifetimeMs,
        grace: lifetimes.refreshGraceMs,
        retryWindow: lifetimes.refreshRetryWindowMs,
      },
    });
    switch (reply.outcome) {
      case 'ended': {
        const reason = reply.reason as EndedReason | 'unknown';
        // The request that ended it may have failed while it waited for replicas.
        if (reason !== 'unknown') await this.#revocations.ensureReplicated(partition, [sessionId], { reason });
        return { outcome: 'ended', reason };
      }
      case 'reused':
        await this.#revocations.ensureReplicated(partition, [sessionId], { reason: 'reused' });
        return { outcome: 'reused', subject: parseIdentity(reply.principal!).subject, sessionId };
      default:
        return {
          outcome: reply.outcome,
          lastSource: { device: reply.device!, address: reply.address! },
          ...toIssuedTokens(reply.outcome === 'unchanged' ? own : next, reply),
        };
    }
  }

  /**
   * Returns the identity of a refresh token's session and whether a refresh with the token would succeed; undefined if
   * the session has ended. Changes nothing: if the status is `reused`, the caller should end the session.
   */
  async inspectRefreshToken(presented: RefreshToken): Promise<RefreshTokenInspection | undefined> {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const reply = await scripts.inspect(this.#redis, {
      keys: { session: keys.session(presented.partition, presented.sessionId) },
      args: {
        generation: presented.generation,
        refresh: presented.digest,
        nextRefresh: tokenKeys.deriveSuccessor(presented).refresh.digest,
        grace: lifetimes.refreshGraceMs,
        retryWindow: lifetimes.refreshRetryWindowMs,
      },
    });
    if (reply.outcome === 'unknown') return undefined;
    return {
      ...parseIdentity(reply.principal!),
      status: reply.outcome,
      renewedAt: Number(reply.renewedAt),
      expiresAt: Number(reply.expiresAt),
    };
  }

  /**
   * Ends one session of a subject. Returns false if there is no such session, for example because an earlier call ended
   * it although that call failed.
   */
  async revoke(subject: string, sessionId: string, reason: EndedReason): Promise<boolean> {
    const revoked = await this.#revocations.revoke(partitionOf(subject), sessionId, { subject, reason });
    return revoked !== undefined;
  }

  /** Ends the session of a refresh token, current or not. Returns its identity; undefined if it had already ended. */
  revokeByToken({ partition, sessionId }: RefreshToken, reason: EndedReason): Promise<Identity | undefined> {
    return this.#revocations.revoke(partition, sessionId, { reason });
  }

  /**
   * Waits until replicas have all earlier revocations for the subject of an access or refresh token. To be called if a
   * repeated revocation finds nothing left to revoke.
   */
  async awaitRevocations(token: string): Promise<void> {
    const { partition } = this.parseRefreshToken(token) ?? parseAccessToken(token) ?? {};
    if (partition !== undefined) await this.#revocations.awaitReplication(partition);
  }

  /**
   * Ends every session of a subject, in batches, and returns their ids.
   *
   * @throws {StaleCredentialError} if the verified credential is no longer the stored one; nothing is changed then.
   *
   * @example
   * await app.latchkey.revokeAll('user-1', { reason: 'revoked' });
   */
  revokeAll(subject: string, request: RevokeAllRequest): Promise<string[]> {
    return this.#revocations.revokeAll(subject, request);
  }

  /** Reads one session of a subject; undefined if the subject has no such session. */
  async get(subject: string, sessionId: string): Promise<Session | undefined> {
    const key = this.#options.keys.session(partitionOf(subject), sessionId);
    const stored = await callRedis(() => this.#redis.hgetall(key));
    const session = stored.principal === undefined ? undefined : parseSession(sessionId, stored);
    return session?.subject === subject ? session : undefined;
  }

  /** Lists a subject's sessions: at most 1,000, ordered by expiry, latest first. */
  async list(subject: string): Promise<Session[]> {
    const { outcome: _, ...sessions } = await scripts.list(this.#redis, {
      keys: { sessions: this.#options.keys.sessions(subject) },
      args: { maxSessions: MAX_LISTED_SESSIONS },
    });
    return Object.entries(sessions).map(([sessionId, fields]) =>
      parseSession(sessionId, JSON.parse(fields) as Record<string, string>),
    );
  }

  /**
   * Applies a JSON merge patch (RFC 7396) to the data of a session. Its valid access tokens have the new data at once.
   * Concurrent patches are all applied, one after another.
   *
   * @returns the new data; undefined if the subject has no such session.
   * @throws {InvalidSessionDataError} if the new data would be more than 2,048 bytes of JSON, nested more than 8 levels
   *   deep or not well-formed Unicode.
   *
   * @example
   * await app.latchkey.update(subject, sessionId, { cart: { items: 3 }, coupon: null });
   */
  async update(subject: string, sessionId: string, patch: SessionData): Promise<SessionData | undefined> {
    const session = this.#options.keys.session(partitionOf(subject), sessionId);
    let expected: string | null | undefined = await callRedis(() => this.#redis.hget(session, 'principal'));
    while (expected) {
      const identity = parseIdentity(expected);
      if (identity.subject !== subject) return undefined;
      const data = patchSessionData(identity.data, patch);
      const replacement = JSON.stringify({ ...identity, data });
      const reply = await scripts.update(this.#redis, { keys: { session }, args: { expected, replacement } });
      if (reply.outcome === 'updated') return data;
      expected = reply.principal;
    }
    return undefined;
  }

  /** Lists a subject's sessions that ended in the last seven days: at most ten, newest first. */
  async listEndedSessions(subject: string): Promise<EndedSession[]> {
    const endings = await callRedis(() => this.#redis.lrange(this.#options.keys.endings(subject), 0, -1));
    return endings.map((ending) => JSON.parse(ending) as EndedSession);
  }

  /** See {@link Authenticator.close}. */
  close(): Promise<void> {
    return this.#authenticator.close();
  }
}
