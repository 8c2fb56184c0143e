import { randomBytes } from 'node:crypto';
import { Keys, partitionOf } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';
import type { Lifetimes } from '../../src/options.js';
import type { IssueRequest, Rotation } from '../../src/sessions/session.js';
import { SessionStore, type StoreOptions } from '../../src/sessions/store.js';
import { type RefreshToken, TokenKeys, type TokenPair } from '../../src/sessions/token.js';
import { keysUnder } from '../support/audit.js';
import { until } from '../support/redis/waiting.js';

export const SECRET = 'a secret of at least thirty-two characters';
/** No whole seconds, so that nothing that rounds goes unnoticed. */
export const LIFETIMES: Lifetimes = {
  accessLifetimeMs: 899_637,
  refreshLifetimeMs: 2_591_998_713,
  sessionLifetimeMs: 7_775_996_429,
  refreshGraceMs: 29_871,
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

/** A store under a prefix of its own, with what a test needs to look behind it. */
export function storeOn(client: RedisClient, settings: StoreSettings = {}) {
  const {
    lookups = client,
    sessionsPerUser = 100,
    revocationReplicas = 0,
    tokenKeys = new TokenKeys([SECRET]),
    prefix = `${randomBytes(6).toString('hex')}:`,
    ...lifetimes
  } = settings;
  const keys = new Keys(prefix);
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
  const endedKey = ({ partition, sessionId }: RefreshToken) => keys.ended(partition, sessionId);

  /** Lets `ms` go by for the pair that is current: what the rules ask about is set back, and no key's expiry. */
  const backdate = async (token: RefreshToken, ms: number) => {
    const key = sessionKey(token);
    for (const field of ['rotatedAt', 'confirmedAt'] as const) {
      const at = await client.hget(key, field);
      if (at !== null) await client.hset(key, field, Number(at) - ms);
    }
  };

  /** Rotates until the token is spent `depth` times over. Returns every pair, the first one first. */
  const rotations = async (first: TokenPair, depth: number) => {
    const pairs = [first];
    while (pairs.length <= depth) {
      const { pair } = pairOf(await rotate(pairs.at(-1)!.refresh));
      pairs.push(pair);
      await use(pair);
      await backdate(pair.refresh, LIFETIMES.refreshGraceMs);
    }
    return pairs;
  };

  /** A request with the access token, and the confirmation that it leads to. */
  const use = async (pair: TokenPair) => {
    const principal = await store.authenticate(pair.access.token);
    const key = accessKey(pair);
    await until('the pair is confirmed', async () => !(await client.get(key))?.startsWith('{"unconfirmed"'));
    return principal;
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
    /** Every key, without the prefix; but for the list of recent endings, which tests of its own are about. */
    all: async () =>
      (await keysUnder(client, prefix))
        .map((key) => key.slice(prefix.length))
        .filter((key) => !key.includes(':endings:')),
    /** The fields of a session, as stored. */
    stored: (token: RefreshToken) => client.hgetall(sessionKey(token)),
    /** The members of session sets that have not expired by their score, but name no key. */
    membersWithoutKey: async () => {
      const keys = await keysUnder(client, prefix);
      const stray: string[] = [];
      for (const set of keys.filter((key) => key.includes(':sessions:'))) {
        const base = set.slice(0, set.indexOf('}:') + 2);
        for (const member of await client.zrangebyscore(set, Date.now() + 1_000, '+inf'))
          if (!keys.includes(base + member) && (await client.exists(base + member)) === 0) stray.push(member);
      }
      return stray;
    },
    /** The members of a subject's session set with their scores. */
    members: async (subject: string) => {
      const members = (await client.call('ZRANGE', keys.sessions(subject), '0', '-1', 'WITHSCORES')) as [
        string,
        string,
      ][];
      return Object.fromEntries(members.map(([member, score]) => [member, Number(score)]));
    },
  };
}

export type TestStore = ReturnType<typeof storeOn>;

/** A subject that is neither ASCII nor fit for a key as it is. */
export function newSubject(): string {
  return `zoë:${randomBytes(12).toString('base64url')}`;
}

/** The pair that a rotation answered with. */
export function pairOf(rotation: Rotation) {
  if (!('pair' in rotation)) throw new Error(`Expected a pair of tokens, not ${JSON.stringify(rotation)}`);
  return rotation;
}

/** Names of a session's keys, without the prefix and sorted, as `all` gives them. */
export function namesOf(subject: string, sessionId: string, ...access: TokenPair[]): string[] {
  const base = `{${partitionOf(subject)}}:`;
  return [
    ...access.map((pair) => `${base}access:${pair.access.digest}`),
    `${base}session:${sessionId}`,
    `${base}sessions:${encodeURIComponent(subject)}`,
  ].sort();
}
