import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { TokenCookies } from './http/kit/cookies.js';
import { DEFAULT_COOKIE_NAME, DEFAULT_LIFETIMES, DEFAULTS } from './options.js';
import { startEmbeddedRedis } from './redis/embedded/embedded-redis.js';
import { RedisKeys } from './redis/keys.js';
import type { IssuedTokens, IssueRequest } from './sessions/session.js';
import { SessionStore } from './sessions/store.js';
import { TokenKeys } from './sessions/token.js';

export { LatchkeyError } from './errors.js';
export { RedisNotInstalledError } from './redis/embedded/find-server.js';
export type { Identity, IssueRequest, RequestSource, SessionData } from './sessions/session.js';

const REDIS_CONF = fileURLToPath(new URL('../redis.conf', import.meta.url));

/** A user who is logged in for a test, with credentials to send. */
export interface SignedIn {
  readonly subject: string;
  readonly sessionId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** A `Cookie` header as a browser sends it, with the default prefix and cookie name. */
  readonly cookie: string;
  /** Headers of a same-origin request by a browser. */
  readonly browserHeaders: { readonly cookie: string; readonly 'sec-fetch-site': 'same-origin' };
  /** Headers of a request by an API client. */
  readonly bearerHeaders: { readonly authorization: string };
  /** Expires the access token immediately. The refresh token still works. */
  expire(): Promise<void>;
  /** Ends the session, as an administrator would. */
  revoke(): Promise<void>;
}

/** Optional properties of the session that `signIn` starts. */
export interface SignInRequest extends Partial<Omit<IssueRequest, 'identity'>> {
  readonly identity?: Partial<IssueRequest['identity']>;
}

/** Sessions in a private Redis, for the tests of a host application. */
export interface TestSessions {
  /** For the plugin: `await app.register(latchkey, sessions.options)`. */
  readonly options: { readonly redis: Redis; readonly tokenKeys: readonly [string]; readonly redisPrefix: string };
  /** Logs a subject in without a password. */
  signIn(subject: string, request?: SignInRequest): Promise<SignedIn>;
  /** Stops Redis and removes its data. */
  close(): Promise<void>;
}

/**
 * Starts a private redis-server with its data in a temporary directory. Uses the redis-server on PATH or, without one,
 * downloads the distribution's package. The server runs until `close` is called or this process exits.
 *
 * @throws {LatchkeyError} if redis-server cannot be found, downloaded or started; a {@link RedisNotInstalledError} if
 *   there is none.
 * @example
 * ```ts
 * import { startTestSessions } from 'latchkey/testing';
 *
 * const sessions = await startTestSessions();
 * await app.register(latchkey, sessions.options);
 * const ada = await sessions.signIn('ada', { identity: { scope: 'orders:read' } });
 * const reply = await app.inject({ url: '/orders', headers: ada.bearerHeaders });
 * await sessions.close();
 * ```
 */
export async function startTestSessions(): Promise<TestSessions> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-testing-'));
  const server = await startEmbeddedRedis({ dataDirectory: directory, configFile: REDIS_CONF, log: console.error });
  const redis = new Redis({ path: server.socketPath });
  const options = {
    redis,
    tokenKeys: [randomBytes(32).toString('base64url')],
    redisPrefix: DEFAULTS.redisPrefix,
  } as const;
  const keys = new RedisKeys(options.redisPrefix);
  const cookies = new TokenCookies({ name: DEFAULT_COOKIE_NAME, refreshPath: DEFAULTS.prefix });
  const store = new SessionStore(
    { lookups: redis, scripts: redis },
    {
      keys,
      tokenKeys: new TokenKeys(options.tokenKeys),
      lifetimes: DEFAULT_LIFETIMES,
      sessionsPerUser: DEFAULTS.sessionsPerUser,
      onBackgroundFault: console.error,
    },
  );

  return {
    options,
    async signIn(subject, { identity, ...request } = {}) {
      const tokens = await store.issue({
        origin: { device: 'test', address: '127.0.0.1' },
        ...request,
        identity: { methods: ['pwd'], ...identity, subject },
      });
      return toSignedIn(tokens);
    },
    async close() {
      await store.close();
      redis.disconnect();
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };

  function toSignedIn({ pair, principal: { subject, sessionId } }: IssuedTokens): SignedIn {
    const { access, refresh } = pair;
    const cookie = `${cookies.access}=${access.token}; ${cookies.refresh}=${refresh.token}`;
    return {
      subject,
      sessionId,
      accessToken: access.token,
      refreshToken: refresh.token,
      cookie,
      browserHeaders: { cookie, 'sec-fetch-site': 'same-origin' },
      bearerHeaders: { authorization: `Bearer ${access.token}` },
      async expire() {
        await redis.del(keys.access(access.partition, access.digest));
      },
      async revoke() {
        await store.revoke(subject, sessionId, 'revoked');
      },
    };
  }
}
