import { randomBytes } from 'node:crypto';
import type { Lifetimes } from '../../src/options.js';
import { partitionOf, RedisKeys } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';
import type { IssueRequest, Rotation } from '../../src/sessions/session.js';
import { SessionStore, type StoreOptions } from '../../src/sessions/store.js';
import { type RefreshToken, TokenKeys, type TokenPair } from '../../src/sessions/token.js';
import { keysUnder } from '../support/audit.js';
import { TOKEN_KEY } from '../support/credentials.js';
import { endedKey as endedKeyOf } from '../support/redis/ended-key.js';
import { until } from '../support/redis/waiting.js';

/** None is a whole number of seconds, so that a test notices when one is rounded. */
export const LIFETIMES: Lifetimes = {
  accessLifetimeMs: 899_637,
  refreshLifetimeMs: 2_591_998_713,
  sessionLifetimeMs: 7_775_996_429,
  refreshGraceMs: 299_871,
  refreshRetryWindowMs: 86_399_203,
};
export const USERNAME = 'zoë 😀';
export const ORIGIN = { device: 'Firefox on Linux', address: '192.0.2.1' };

export interface StoreSettings extends Partial<Lifetimes> {
  lookups?: RedisClient;
  sessionsPerUser?: number;
  revocationReplicas?: number;
  tokenKeys?: TokenKeys;
  prefix?: string;
}

/** Creates a store under a key prefix of its own, with helpers that read and change what it has written. */
export function storeOn(client: RedisClient, settings: StoreSettings = {}) {
  const {
    lookups = client,
    sessionsPerUser = 100,
    revocationReplicas = 0,
    tokenKeys = new TokenKeys([TOKEN_KEY]),
    prefix = `${randomBytes(6).toString('hex')}:`,
    ...lifetimes
  } = settings;
  const keys = new RedisKeys(prefix);
  const faults: unknown[] = [];
  const options: StoreOptions = {
    keys,
    tokenKeys,
    lifetimes: { ...LIFETIMES, ...lifetimes },
    sessionsPerUser,
    revocationReplicas,
    onBackgroundFault: (error) => faults.push(error),
  };
  const store = new SessionStore({ lookups, scripts: client }, options);

  const login = (subject = newSubject(), request: Partial<IssueRequest> = {}) =>
    store.issue({ identity: { subject, username: USERNAME, methods: ['pwd'] }, origin: ORIGIN, ...request });
  const rotate = (token: RefreshToken, address = ORIGIN.address) => store.rotate(token, { address });
  const sessionKey = ({ partition, sessionId }: RefreshToken) => keys.session(partition, sessionId);
  const accessKey = ({ access }: TokenPair) => keys.access(access.partition, access.digest);
  const endedKey = (token: RefreshToken) => endedKeyOf(keys, token);

  const backdate = (token: RefreshToken, ms: number) => backdateRotation(client, sessionKey(token), ms);

  /** Rotates `depth` times. Each pair is confirmed and closed before the next. Returns all pairs, oldest first. */
  const rotations = async (first: TokenPair, depth: number) => {
    const pairs = [first];
    while (pairs.length <= depth) {
      const { pair } = pairOf(await rotate(pairs.at(-1)!.refresh));
      pairs.push(pair);
      await use(pair);
      await backdate(pair.refresh, options.lifetimes.refreshGraceMs);
    }
    return pairs;
  };

  /** Authenticates with the access token, and waits for the confirmation that this starts. */
  const use = async (pair: TokenPair) => {
    const principal = await store.authenticate(pair.access.token);
    const key = accessKey(pair);
    await until('the pair is confirmed', async () => !(await client.get(key))?.startsWith('{"unconfirmed"'));
    return principal;
  };

  /** Redis's clock, in milliseconds since the Unix epoch. */
  const now = async () => {
    const [seconds, microseconds] = await client.time();
    return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
  };

  /** Every key without the prefix, sorted; not the list of recent endings, which has tests of its own. */
  const all = async () =>
    (await keysUnder(client, prefix))
      .map((key) => key.slice(prefix.length))
      .filter((key) => !key.includes(':endings:'));

  /** The members of a session set with their scores. */
  const scoresOf = async (set: string) => {
    const members = (await client.call('ZRANGE', set, '0', '-1', 'WITHSCORES')) as [string, string][];
    return Object.fromEntries(members.map(([member, score]) => [member, Number(score)]));
  };

  return {
    client,
    store,
    options,
    keys,
    tokenKeys,
    prefix,
    faults,
    login,
    rotate,
    rotations,
    use,
    backdate,
    sessionKey,
    accessKey,
    endedKey,
    now,
    all,
    /** Waits until Redis's clock shows a later millisecond, so that the next write has a later timestamp. */
    tick: async () => {
      const before = await now();
      await until('the clock of Redis moves on', async () => (await now()) > before, { everyMs: 1 });
    },
    /** What {@link all} returns, without the reasons of ended sessions and without user records. */
    liveKeys: async () => (await all()).filter((key) => !/:(ended|user):/.test(key)),
    /** The name, as in {@link all}, of the key that holds the reason why a session ended. */
    endedName: (token: RefreshToken) => endedKey(token).slice(prefix.length),
    /** When a key expires, in milliseconds since the Unix epoch. */
    expiresAt: async (key: string) => Number(await client.call('PEXPIRETIME', key)),
    /** The fields of a session, as stored. */
    stored: (token: RefreshToken) => client.hgetall(sessionKey(token)),
    /** The members of session sets that have no key although their score says that they have not expired. */
    membersWithoutKey: async () => {
      const stray: string[] = [];
      for (const set of (await keysUnder(client, prefix)).filter((key) => key.includes(':sessions:'))) {
        const base = set.slice(0, set.indexOf('}:') + 2);
        for (const [member, score] of Object.entries(await scoresOf(set)))
          if ((await client.exists(base + member)) === 0 && score > (await now())) stray.push(member);
      }
      return stray;
    },
    /** The members of a subject's session set with their scores. */
    members: (subject: string) => scoresOf(keys.sessions(subject)),
  };
}

export type TestStore = ReturnType<typeof storeOn>;

/**
 * Moves the last rotation of a session and its confirmation back by `ms`, as if that much time had passed. The expiries
 * of the keys stay.
 */
export async function backdateRotation(client: RedisClient, sessionKey: string, ms: number): Promise<void> {
  for (const field of ['rotatedAt', 'confirmedAt']) {
    const at = await client.hget(sessionKey, field);
    if (at !== null) await client.hset(sessionKey, field, Number(at) - ms);
  }
}

/** A client that hands each call of a script to `intercept`, as a function that makes the call. */
export function interceptScripts<T extends RedisClient>(
  client: T,
  intercept: (run: () => Promise<unknown>) => Promise<unknown>,
): T {
  const evalsha = (...words: Parameters<RedisClient['evalsha']>) => intercept(() => client.evalsha(...words));
  return new Proxy(client, {
    get: (target, name) => (name === 'evalsha' ? evalsha : (Reflect.get(target, name) as unknown)),
  });
}

/** A subject that is not ASCII and has to be encoded in a key. */
export function newSubject(): string {
  return `zoë:${randomBytes(12).toString('base64url')}`;
}

/** Returns a rotation that gave a pair of tokens, and throws if it did not. */
export function pairOf(rotation: Rotation) {
  if (!('pair' in rotation)) throw new Error(`Expected a pair of tokens, not ${JSON.stringify(rotation)}`);
  return rotation;
}

/** Names of a session's keys without the prefix, sorted, as `all` returns them. */
export function namesOf(subject: string, sessionId: string, ...access: TokenPair[]): string[] {
  const base = `{${partitionOf(subject)}}:`;
  return [
    ...access.map((pair) => `${base}access:${pair.access.digest}`),
    `${base}session:${sessionId}`,
    `${base}sessions:${encodeURIComponent(subject)}`,
  ].sort();
}
