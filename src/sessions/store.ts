import { LatchkeyError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import type { Lifetimes } from '../options.js';
import { partitionOf } from '../redis/keys.js';
import { waitForReplicas } from '../redis/replicas.js';
import { defineScript, type RedisClient, type ScriptReply } from '../redis/script.js';
import { checkIdentity, patchSessionData } from './data.js';
import { Authenticator, type AuthenticatorOptions, type RedisClients, parsePrincipal } from './authenticator.js';
import type {
  EndedReason,
  Ending,
  RefreshTokenInspection,
  Identity,
  IssuedTokens,
  RequestSource,
  Principal,
  Rotation,
  Session,
  SessionData,
} from './session.js';
import { parseAccessToken, type RefreshToken, type TokenKeys, type TokenPair } from './token.js';

/** Keys that one script removes, so that Redis answers others in between. */
const REVOKE_CHUNK = 50;
/** With a new credential all end in one script: a fault half-way could not be made good by who knows the old one alone. */
const WHOLE_SET = 1_000_000;
const LIST_LIMIT = 1000;
const REPLICATION_TIMEOUT_MS = 500;

const prelude = new URL('./scripts/prelude.lua', import.meta.url);

const issue = defineScript({
  file: new URL('./scripts/issue.lua', import.meta.url),
  prelude,
  keys: ['session', 'sessions', 'user'],
  args: [
    'sessionId',
    'credential',
    'principal',
    'authenticatedAt',
    'client',
    'refresh',
    'access',
    'device',
    'address',
    'accessLifetime',
    'refreshLifetime',
    'sessionLifetime',
    'limit',
    'supersedes',
  ],
  outcomes: ['issued', 'stale', 'disabled'],
});

const rotate = defineScript({
  file: new URL('./scripts/rotate.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: [
    'sessionId',
    'client',
    'generation',
    'refresh',
    'access',
    'nextRefresh',
    'nextAccess',
    'address',
    'accessLifetime',
    'refreshLifetime',
    'grace',
    'retryWindow',
  ],
  outcomes: ['rotated', 'unchanged', 'retried', 'ended', 'reused'],
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

const inspect = defineScript({
  file: new URL('./scripts/inspect.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['generation', 'refresh', 'nextRefresh', 'grace', 'retryWindow'],
  outcomes: ['active', 'reused', 'unknown'],
});

const update = defineScript({
  file: new URL('./scripts/update.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['expected', 'replacement'],
  outcomes: ['updated', 'conflict', 'unknown'],
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

export interface StoreOptions extends AuthenticatorOptions {
  readonly tokenKeys: TokenKeys;
  readonly lifetimes: Lifetimes;
  readonly sessionsPerUser: number;
  /** Replicas that must have a revocation before it is acknowledged; none by default. */
  readonly revocationReplicas?: number | undefined;
}

/** What a session begins with. */
export interface IssueRequest {
  readonly identity: Omit<Identity, 'authenticatedAt'>;
  /** When the user proved who they are, milliseconds since 1970; now, if it is not told. */
  readonly authenticatedAt?: number;
  /** The credential that was verified; the session is not issued if it has changed since. */
  readonly credential?: string;
  readonly origin: RequestSource;
  /** A session of the same subject that ends as this one begins. */
  readonly supersedes?: string;
  /** An absolute lifetime of its own, in milliseconds, where it is shorter than that of all sessions. */
  readonly lifetimeMs?: number;
}

/** The sessions that ended as one began: beyond the limit of their user, and the one that it took the place of. */
export interface DisplacedSessions {
  readonly evicted: readonly string[];
  readonly superseded: readonly string[];
}

/**
 * Sessions in Redis: every decision is one Lua script and Redis `TIME` its only clock.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer in its deadline; what was asked may then
 * have happened or not, and asking again is safe.
 */
export class SessionStore {
  readonly #scripts: RedisClient;
  readonly #revocations: RedisClient;
  readonly #authenticator: Authenticator;
  readonly #options: StoreOptions;

  /** They may all be one client; more keep what is slow out of the way of what is not. */
  constructor(clients: RedisClients, options: StoreOptions) {
    this.#authenticator = new Authenticator(clients, options);
    this.#scripts = clients.scripts;
    this.#revocations = clients.revocations ?? clients.scripts;
    this.#options = options;
  }

  /**
   * Begins a session.
   *
   * @throws {StaleCredentialError} when the credential changed, or the subject was disabled, since it was verified.
   * @throws {InvalidIdentityError} for text about the user that is no Unicode.
   * @throws {InvalidSessionDataError} when its data is too large, nested too deep, or no Unicode.
   */
  async issue(request: IssueRequest): Promise<IssuedTokens & DisplacedSessions> {
    const { identity, authenticatedAt, credential = '', origin, supersedes = '', lifetimeMs = Infinity } = request;
    const { keys, tokenKeys, lifetimes } = this.#options;
    checkIdentity(identity);
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
        limit: this.#options.sessionsPerUser,
        supersedes,
      },
    });
    if (reply.outcome !== 'issued') throw new StaleCredentialError();
    const ended: DisplacedSessions = { evicted: splitIds(reply.evicted), superseded: splitIds(reply.superseded) };
    for (const reason of ['evicted', 'superseded'] as const) {
      await this.#repeatEndings(partition, { subject: identity.subject, sessionIds: ended[reason], reason });
    }
    return { ...toIssuedTokens(pair, reply), ...ended };
  }

  /** See {@link Authenticator.authenticate}. */
  authenticate(token: string): Promise<Principal | undefined> {
    return this.#authenticator.authenticate(token);
  }

  /** When an access token was issued, milliseconds since 1970; up to a lifetime earlier where its session's end cut it short. */
  issuedAtOf({ expiresAt }: Principal): number {
    return expiresAt - this.#options.lifetimes.accessLifetimeMs;
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
  async rotate(
    presented: RefreshToken,
    { address, client = '' }: { address: string; client?: string },
  ): Promise<Rotation> {
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
        // It may have been ended by a request that failed, since no replica had it then.
        await this.#repeatEndings(partition, {
          sessionIds: reply.reason === 'unknown' ? [] : [sessionId],
          reason: reply.reason as EndedReason,
        });
        return { outcome: 'ended', reason: reply.reason as EndedReason | 'unknown' };
      case 'reused':
        await this.#repeatEndings(partition, { sessionIds: [sessionId], reason: 'reused' });
        return { outcome: 'reused', subject: (JSON.parse(reply.principal!) as Identity).subject, sessionId };
      default:
        return {
          outcome: reply.outcome,
          lastRotation: { device: reply.device!, address: reply.address! },
          ...toIssuedTokens(reply.outcome === 'unchanged' ? current : next, reply),
        };
    }
  }

  /** Ends one session of a subject. Returns false when the subject has no such session, any more after a fault too. */
  async revoke(subject: string, sessionId: string, reason: EndedReason): Promise<boolean> {
    return (await this.#revoke(partitionOf(subject), sessionId, subject, reason)) !== undefined;
  }

  /** Ends the session that a refresh token belongs to, whatever its generation. Returns whose it was. */
  revokeByToken({ partition, sessionId }: RefreshToken, reason: EndedReason): Promise<Identity | undefined> {
    return this.#revoke(partition, sessionId, '', reason);
  }

  /**
   * Waits until replicas have whatever was revoked before of the subject of a token, of either kind: for who revokes anew,
   * after a failure, and finds nothing left to revoke.
   */
  async awaitRevocations(token: string): Promise<void> {
    const { partition } = this.parseRefreshToken(token) ?? parseAccessToken(token) ?? {};
    if (partition !== undefined) await this.#waitForReplicas(partition);
  }

  /**
   * Ends every session of a subject, a chunk at a time, and returns their ids when none is left.
   *
   * @param own the session that asks: spared, or ended with a reason of its own when nothing else is left.
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
    for (;;) {
      const reply = await revokeAll(this.#revocations, {
        keys: { sessions: keys.sessions(subject), user: keys.user(subject) },
        args: {
          reason,
          own: own?.sessionId ?? '',
          ownReason: own?.reason ?? '',
          chunk: credential ? WHOLE_SET : REVOKE_CHUNK,
          credential: credential?.verified ?? '',
          replacement: credential?.replacement ?? '',
        },
      });
      if (reply.outcome === 'stale') throw new StaleCredentialError();
      ended.push(...splitIds(reply.ended));
      if (reply.outcome === 'revoked') break;
    }
    await this.#waitForReplicas(partitionOf(subject));
    return ended;
  }

  /**
   * Whose session a refresh token belongs to, and whether it could still be refreshed with; undefined when it has ended.
   * `spent` is a token that has come back: its session should end. Nothing is changed.
   */
  async inspectRefreshToken(presented: RefreshToken): Promise<RefreshTokenInspection | undefined> {
    const { keys, tokenKeys, lifetimes } = this.#options;
    const reply = await inspect(this.#scripts, {
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
      status: reply.outcome,
      renewedAt: Number(reply.renewedAt),
      expiresAt: Number(reply.expiresAt),
    };
  }

  /** One session of a subject; undefined when the subject has no such session. */
  async get(subject: string, sessionId: string): Promise<Session | undefined> {
    const key = this.#options.keys.session(partitionOf(subject), sessionId);
    const stored = await callRedis(() => this.#scripts.hgetall(key));
    const session = stored.principal === undefined ? undefined : parseSession(sessionId, stored);
    return session?.subject === subject ? session : undefined;
  }

  /**
   * Changes the custom data of a session by a JSON merge patch (RFC 7396), in its living access tokens too.
   * Of patches at the same time none is lost: each is made anew on what the others left.
   *
   * @returns the data as it is then; undefined when the subject has no such session.
   * @throws {InvalidSessionDataError} when it would be larger than 2,048 bytes of JSON, nested more than 8 deep, or no Unicode.
   */
  async update(subject: string, sessionId: string, patch: SessionData): Promise<SessionData | undefined> {
    const session = this.#options.keys.session(partitionOf(subject), sessionId);
    let expected: string | null | undefined = await callRedis(() => this.#scripts.hget(session, 'principal'));
    while (expected) {
      const principal = JSON.parse(expected) as Identity;
      if (principal.subject !== subject) return undefined;
      const data = patchSessionData(principal.data, patch);
      const replacement = JSON.stringify({ ...principal, data });
      const reply = await update(this.#scripts, { keys: { session }, args: { expected, replacement } });
      if (reply.outcome === 'updated') return data;
      expected = reply.principal;
    }
    return undefined;
  }

  /** A subject's sessions, at most a thousand, the longest-lived first. */
  async list(subject: string): Promise<Session[]> {
    const { outcome: _, ...sessions } = await list(this.#scripts, {
      keys: { sessions: this.#options.keys.sessions(subject) },
      args: { limit: LIST_LIMIT },
    });
    return Object.entries(sessions).map(([sessionId, fields]) =>
      parseSession(sessionId, JSON.parse(fields) as Record<string, string>),
    );
  }

  /** How a subject's sessions ended in the last 7 days, the latest first, at most ten. */
  async endings(subject: string): Promise<Ending[]> {
    const endings = await callRedis(() => this.#scripts.lrange(this.#options.keys.endings(subject), 0, -1));
    return endings.map((ending) => JSON.parse(ending) as Ending);
  }

  /** Waits for what still goes on off the path of any response. */
  close(): Promise<void> {
    return this.#authenticator.close();
  }

  async #revoke(partition: string, sessionId: string, subject: string, reason: EndedReason) {
    const reply = await this.#runRevoke(partition, sessionId, subject, reason);
    await this.#waitForReplicas(partition);
    return reply.outcome === 'revoked' ? (JSON.parse(reply.principal!) as Identity) : undefined;
  }

  #runRevoke(partition: string, sessionId: string, subject: string, reason: EndedReason) {
    const session = this.#options.keys.session(partition, sessionId);
    return revoke(this.#revocations, { keys: { session }, args: { sessionId, subject, reason } });
  }

  /** Ends once more what another script has ended, as a failover in between may have brought it back, and waits for replicas. */
  async #repeatEndings(
    partition: string,
    { sessionIds, subject = '', reason }: { sessionIds: readonly string[]; subject?: string; reason: EndedReason },
  ): Promise<void> {
    if (sessionIds.length === 0 || !this.#options.revocationReplicas) return;
    for (const sessionId of sessionIds) await this.#runRevoke(partition, sessionId, subject, reason);
    await this.#waitForReplicas(partition);
  }

  /** A failover must not bring back what was revoked. Asked anew after a failure, this waits even if nothing was left to revoke. */
  async #waitForReplicas(partition: string): Promise<void> {
    const { revocationReplicas: replicas = 0, keys } = this.#options;
    if (replicas === 0) return;
    await waitForReplicas(this.#revocations, keys.mark(partition), { replicas, timeoutMs: REPLICATION_TIMEOUT_MS });
  }
}

/** A principal may be handed in as an identity: what is particular to its own session and token stays behind. */
function serializeIdentity({ subject, username, methods, client, scope, data }: IssueRequest['identity']): string {
  const identity = { subject, username, methods, client, scope, data };
  return JSON.stringify(identity satisfies Record<keyof IssueRequest['identity'], unknown>);
}

function toIssuedTokens(pair: TokenPair, reply: ScriptReply<string>): IssuedTokens {
  return {
    pair,
    principal: parsePrincipal(reply.value!),
    accessExpiresInMs: Number(reply.accessExpiresIn),
    refreshExpiresInMs: Number(reply.expiresIn),
  };
}

function splitIds(ids: string | undefined): string[] {
  return ids ? ids.split(',') : [];
}

function parseSession(sessionId: string, stored: Record<string, string>): Session {
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
