import { LatchkeyError } from '../errors.js';
import { translatingFaults } from '../redis/fault.js';
import { type Keys, partitionOf } from '../redis/keys.js';
import { awaitReplicas } from '../redis/replicas.js';
import { defineScript, type RedisClient, type ScriptReply } from '../redis/script.js';
import { gatheringLookup, type Lookup } from './lookup.js';
import type {
  EndedReason,
  Holder,
  Identity,
  IssuedTokens,
  Lifetimes,
  Origin,
  Principal,
  Rotation,
  Session,
} from './session.js';
import { parseAccessToken, type RefreshToken, type TokenKeys, type TokenPair } from './token.js';

const REVOKE_CHUNK = 100;
const LIST_LIMIT = 1000;
const REPLICATION_TIMEOUT_MS = 500;

const prelude = new URL('./scripts/prelude.lua', import.meta.url);

const issue = defineScript({
  file: new URL('./scripts/issue.lua', import.meta.url),
  prelude,
  keys: ['session', 'sessions', 'user'],
  args: [
    'sessionId', 'credential', 'principal', 'authenticatedAt', 'client', 'refresh', 'access', 'device', 'address',
    'accessLifetime', 'refreshLifetime', 'sessionLifetime', 'limit', 'supersedes',
  ],
  outcomes: ['issued', 'stale', 'disabled'],
});

const rotate = defineScript({
  file: new URL('./scripts/rotate.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: [
    'sessionId', 'client', 'generation', 'refresh', 'access', 'nextRefresh', 'nextAccess', 'address',
    'accessLifetime', 'refreshLifetime', 'grace', 'retryWindow',
  ],
  outcomes: ['rotated', 'unchanged', 'retried', 'ended', 'reused'],
});

const confirm = defineScript({
  file: new URL('./scripts/confirm.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['access'],
  outcomes: ['confirmed', 'unchanged'],
});

const revoke = defineScript({
  file: new URL('./scripts/revoke.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['sessionId', 'subject', 'reason'],
  outcomes: ['revoked', 'unknown'],
});

const revokeAll = defineScript({
  file: new URL('./scripts/revoke-all.lua', import.meta.url),
  prelude,
  keys: ['sessions', 'user'],
  args: ['reason', 'own', 'ownReason', 'chunk', 'credential', 'replacement'],
  outcomes: ['revoked', 'more', 'stale'],
});

const holder = defineScript({
  file: new URL('./scripts/holder.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['generation', 'refresh', 'nextRefresh', 'grace', 'retryWindow'],
  outcomes: ['living', 'spent', 'unknown'],
});

const list = defineScript({
  file: new URL('./scripts/list.lua', import.meta.url),
  prelude,
  keys: ['sessions'],
  args: ['limit'],
  outcomes: ['listed'],
});

/** What was verified about a subject is no longer so: the credential changed meanwhile, or the subject was disabled. */
export class StaleCredentialError extends LatchkeyError {
  constructor() {
    super('stale_credential', 'The credential changed while it was being verified');
  }
}

export interface StoreOptions {
  readonly keys: Keys;
  readonly tokenKeys: TokenKeys;
  readonly lifetimes: Lifetimes;
  readonly sessionsPerUser: number;
  /** Replicas that must have a revocation before it is acknowledged; none by default. */
  readonly revocationReplicas?: number | undefined;
  /** Told of what failed off the path of any response: a confirmation, which the token's next use repeats. */
  readonly onBackgroundFault: (error: unknown) => void;
}

/** What a session begins with. */
export interface IssueRequest {
  readonly identity: Omit<Identity, 'authenticatedAt'>;
  /** When the user proved who they are, milliseconds since 1970; now, if it is not told. */
  readonly authenticatedAt?: number;
  /** The credential that was verified; the session is not issued if it has changed since. */
  readonly credential?: string;
  readonly origin: Origin;
  /** A session of the same subject that ends as this one begins. */
  readonly supersedes?: string;
}

/**
 * Sessions in Redis: every decision is one Lua script and Redis `TIME` its only clock.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer in its deadline; what was asked may then
 * have happened or not, and asking again is safe.
 */
export class SessionStore {
  readonly #scripts: RedisClient;
  readonly #lookup: Lookup;
  readonly #closeLookup: () => void;
  readonly #options: StoreOptions;
  readonly #confirming = new Map<string, Promise<void>>();

  /** `lookups` and `scripts` may be one client; two keep slow scripts out of the way of lookups. */
  constructor(clients: { readonly lookups: RedisClient; readonly scripts: RedisClient }, options: StoreOptions) {
    ({ lookup: this.#lookup, close: this.#closeLookup } = gatheringLookup(clients.lookups));
    this.#scripts = clients.scripts;
    this.#options = options;
  }

  /**
   * Begins a session.
   *
   * @throws {StaleCredentialError} when the credential changed, or the subject was disabled, since it was verified.
   */
  async issue({ identity, authenticatedAt, credential = '', origin, supersedes = '' }: IssueRequest): Promise<
    IssuedTokens & { readonly evicted: readonly string[] }
  > {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const pair = tokenKeys.mint(partitionOf(identity.subject));
    const { sessionId, partition } = pair.refresh;
    const reply = await issue(this.#scripts, {
      keys: {
        session: keys.session(partition, sessionId),
        sessions: keys.sessions(identity.subject),
        user: keys.user(identity.subject),
      },
      args: {
        sessionId,
        credential,
        principal: principalOf(identity),
        authenticatedAt: authenticatedAt ?? '',
        client: identity.client ?? '',
        refresh: pair.refresh.digest,
        access: pair.access.digest,
        device: origin.device,
        address: origin.address,
        accessLifetime: lifetimes.accessLifetimeMs,
        refreshLifetime: lifetimes.refreshLifetimeMs,
        sessionLifetime: lifetimes.sessionLifetimeMs,
        limit: this.#options.sessionsPerUser,
        supersedes,
      },
    });
    if (reply.outcome !== 'issued') throw new StaleCredentialError();
    return { ...issuedTokens(pair, reply), evicted: listed(reply.evicted) };
  }

  /**
   * What an access token proves, by one read; undefined when it is malformed, expired, revoked or unknown.
   * A token that is not well-formed never reaches Redis.
   */
  async authenticate(token: string): Promise<Principal | undefined> {
    const access = parseAccessToken(token);
    if (!access) return undefined;
    const value = await this.#lookup(this.#options.keys.access(access.partition, access.digest));
    if (value === null) return undefined;
    const { unconfirmed, ...principal } = JSON.parse(value) as Principal & { unconfirmed?: true };
    if (unconfirmed) this.#confirm(access.digest, access.partition, principal.sessionId);
    return principal;
  }

  /** See {@link TokenKeys.parse}. */
  parseRefreshToken(token: string): RefreshToken | undefined {
    return this.#options.tokenKeys.parse(token);
  }

  /**
   * Answers a refresh token with a pair: the next one, or the one that it, or the token before it, already led to.
   * A token that comes back after its successor was used ends the session.
   *
   * @param client the OAuth client that presents it; a session answers only to the client that it was issued to.
   */
  async rotate(presented: RefreshToken, { address, client = '' }: { address: string; client?: string }): Promise<Rotation> {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const { sessionId, partition } = presented;
    const current = tokenKeys.pairOf(presented);
    const next = tokenKeys.successorOf(presented);
    const reply = await rotate(this.#scripts, {
      keys: { session: keys.session(partition, sessionId) },
      args: {
        sessionId,
        client,
        generation: presented.generation,
        refresh: presented.digest,
        access: current.access.digest,
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
      case 'ended':
        return { outcome: 'ended', reason: reply.reason as EndedReason | 'unknown' };
      case 'reused':
        return { outcome: 'reused', subject: (JSON.parse(reply.principal!) as Identity).subject, sessionId };
      default:
        return {
          outcome: reply.outcome,
          lastRotation: { device: reply.device!, address: reply.address! },
          ...issuedTokens(reply.outcome === 'unchanged' ? current : next, reply),
        };
    }
  }

  /** Ends one session of a subject. Returns false when the subject has no such session. */
  async revoke(subject: string, sessionId: string, reason: EndedReason): Promise<boolean> {
    return (await this.#revoke(partitionOf(subject), sessionId, subject, reason)) !== undefined;
  }

  /** Ends the session that a refresh token belongs to, whatever its generation. Returns whose it was. */
  revokeByToken({ partition, sessionId }: RefreshToken, reason: EndedReason): Promise<Identity | undefined> {
    return this.#revoke(partition, sessionId, '', reason);
  }

  /**
   * Ends every session of a subject, a chunk at a time, and returns their ids when none is left.
   *
   * @param own the session that asks: spared, or ended with a reason of its own.
   * @param credential sets a new credential in the same script that ends the first sessions.
   * @throws {StaleCredentialError} when the verified credential is not the stored one any more; nothing was changed.
   */
  async revokeAll(
    subject: string,
    {
      reason,
      own,
      credential,
    }: {
      reason: EndedReason;
      own?: { readonly sessionId: string; readonly reason?: EndedReason };
      credential?: { readonly verified: string; readonly replacement: string };
    },
  ): Promise<string[]> {
    const { keys } = this.#options;
    const ended: string[] = [];
    for (let first = true; ; first = false) {
      const reply = await revokeAll(this.#scripts, {
        keys: { sessions: keys.sessions(subject), user: keys.user(subject) },
        args: {
          reason,
          own: own?.sessionId ?? '',
          ownReason: own?.reason ?? '',
          chunk: REVOKE_CHUNK,
          credential: credential?.verified ?? '',
          replacement: first ? (credential?.replacement ?? '') : '',
        },
      });
      if (reply.outcome === 'stale') throw new StaleCredentialError();
      ended.push(...listed(reply.ended));
      if (reply.outcome === 'revoked') break;
    }
    await this.#replicated(keys.sessions(subject));
    return ended;
  }

  /**
   * Whose session a refresh token belongs to, and whether it could still be refreshed with; undefined when it has ended.
   * `spent` is a token that has come back: its session should end. Nothing is changed.
   */
  async holderOf(presented: RefreshToken): Promise<Holder | undefined> {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const reply = await holder(this.#scripts, {
      keys: { session: keys.session(presented.partition, presented.sessionId) },
      args: {
        generation: presented.generation,
        refresh: presented.digest,
        nextRefresh: tokenKeys.successorOf(presented).refresh.digest,
        grace: lifetimes.refreshGraceMs,
        retryWindow: lifetimes.refreshRetryWindowMs,
      },
    });
    if (reply.outcome === 'unknown') return undefined;
    return {
      ...(JSON.parse(reply.principal!) as Identity),
      standing: reply.outcome,
      renewedAt: Number(reply.renewedAt),
      expiresAt: Number(reply.expiresAt),
    };
  }

  /** A subject's sessions, at most a thousand, the longest-lived first. */
  async list(subject: string): Promise<Session[]> {
    const { outcome: _, ...sessions } = await list(this.#scripts, {
      keys: { sessions: this.#options.keys.sessions(subject) },
      args: { limit: LIST_LIMIT },
    });
    return Object.entries(sessions).map(([sessionId, fields]) =>
      sessionOf(sessionId, JSON.parse(fields) as Record<string, string>),
    );
  }

  /** Waits for what still goes on off the path of any response. */
  async close(): Promise<void> {
    await Promise.all(this.#confirming.values());
    this.#closeLookup();
  }

  async #revoke(partition: string, sessionId: string, subject: string, reason: EndedReason) {
    const session = this.#options.keys.session(partition, sessionId);
    const reply = await revoke(this.#scripts, {
      keys: { session },
      args: { sessionId, subject, reason },
    });
    await this.#replicated(session);
    return reply.outcome === 'revoked' ? (JSON.parse(reply.principal!) as Identity) : undefined;
  }

  /** A failover must not bring back what was revoked. Asked anew after a failure, this waits even if nothing was left to revoke. */
  #replicated(key: string): Promise<void> {
    const { revocationReplicas: replicas = 0 } = this.#options;
    return awaitReplicas(this.#scripts, key, { replicas, timeoutMs: REPLICATION_TIMEOUT_MS });
  }

  #confirm(access: string, partition: string, sessionId: string): void {
    if (this.#confirming.has(access)) return;
    const confirming = confirm(this.#scripts, {
      keys: { session: this.#options.keys.session(partition, sessionId) },
      args: { access },
    })
      .then(() => {}, this.#options.onBackgroundFault)
      .finally(() => this.#confirming.delete(access));
    this.#confirming.set(access, confirming);
  }
}

/** A principal may be handed in as an identity: what is particular to its own session and token stays behind. */
function principalOf({ subject, username, methods, client, scope, data }: IssueRequest['identity']): string {
  const identity = { subject, username, methods, client, scope, data };
  return JSON.stringify(identity satisfies Record<keyof IssueRequest['identity'], unknown>);
}

function issuedTokens(pair: TokenPair, reply: ScriptReply<string>): IssuedTokens {
  const { unconfirmed: _, ...principal } = JSON.parse(reply.value!) as Principal & { unconfirmed?: true };
  return {
    pair,
    principal,
    accessExpiresInMs: Number(reply.accessExpiresIn),
    refreshExpiresInMs: Number(reply.expiresIn),
  };
}

function listed(ids: string | undefined): string[] {
  return ids ? ids.split(',') : [];
}

function sessionOf(sessionId: string, stored: Record<string, string>): Session {
  return {
    ...(JSON.parse(stored.principal!) as Identity),
    sessionId,
    createdAt: Number(stored.createdAt),
    renewedAt: Number(stored.rotatedAt ?? stored.createdAt),
    endsAt: Number(stored.endsAt),
    device: stored.device!,
    address: stored.address!,
    generation: Number(stored.generation),
  };
}
