import { randomBytes } from 'node:crypto';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Redis } from 'ioredis';
import { connect, waitUntilReady } from '../../src/redis/connect.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { type AppConfig, buildInternalApp, buildPublicApp, type EventHandler } from '../../src/server/apps.js';
import { loadConfig } from '../../src/server/config/load.js';
import type { IssuedTokens, IssueRequest } from '../../src/sessions/session.js';
import { SessionStore } from '../../src/sessions/store.js';
import { TokenKeys } from '../../src/sessions/token.js';
import { addUser, readRefusals } from './acl.js';
import { PASSWORD, TOKEN_KEY } from './credentials.js';
import { startRedis, type TestRedis } from './redis.js';
import { until } from './redis/waiting.js';

export const ACCESS_COOKIE = '__Host-Http-latchkey';
export const REFRESH_COOKIE = '__Http-latchkey-refresh';
export { PASSWORD } from './credentials.js';

/** The service, on its own real Redis as the user of users.acl, with both listeners open on free ports. */
export interface TestService {
  app: FastifyInstance;
  internal: FastifyInstance;
  url: string;
  internalUrl: string;
  redis: TestRedis;
  /** A Redis client with full access, for the test. */
  client: Redis;
  config: AppConfig;
  keys: RedisKeys;
  store: SessionStore;
  /** Sends a request to the public app without a network. */
  inject: (request: InjectOptions) => Promise<LightMyRequestResponse>;
  post: (
    url: string,
    payload?: InjectOptions['payload'],
    headers?: Record<string, string>,
  ) => Promise<LightMyRequestResponse>;
  get: (url: string, headers?: Record<string, string>) => Promise<LightMyRequestResponse>;
  /** Registers a user, by default under a new random name. */
  register: (username?: string) => Promise<{ subject: string; username: string }>;
  /** Starts a session without a login, which would take a password hash. */
  mint: (subject?: string, request?: Partial<IssueRequest>) => Promise<IssuedTokens>;
  /** Makes the current pair of a session `ms` older. */
  age: (tokens: IssuedTokens, ms: number) => Promise<void>;
  /** The status of `GET /auth/session` with an access token: 200 while it is valid, 401 afterwards. */
  sessionStatus: (tokens: IssuedTokens) => Promise<number>;
  /** Waits until the current pair of a session is confirmed. */
  untilConfirmed: (tokens: IssuedTokens) => Promise<void>;
  /** Calls `act` between two steps of a request: when Redis has run a command that contains all of `words`. */
  afterCommand: (words: string[], act: () => Promise<unknown>) => Promise<void>;
  close: () => Promise<void>;
}

export async function startService(
  overrides: Partial<AppConfig> = {},
  { redis: given, clock = false, onEvent }: { redis?: TestRedis; clock?: boolean; onEvent?: EventHandler } = {},
): Promise<TestService> {
  const redis = given ?? (await startRedis({ clock }));
  const prefix = `${randomBytes(4).toString('hex')}:`;
  const env = { NODE_ENV: 'test', LOG_LEVEL: 'silent', REDIS_PREFIX: prefix };
  const config: AppConfig = { ...loadConfig(env), tokenKeys: [TOKEN_KEY], ...overrides };
  const client = redis.client();
  const user = await addUser(client, 'latchkey', config.redisPrefix);
  const clientNamed = (name: string) =>
    connect({ ...redis.location, ...user }, { timeoutMs: config.redisTimeoutMs, name, onError: () => undefined });
  const clients = { lookups: clientNamed('lookups'), scripts: clientNamed('scripts') };
  await Promise.all(Object.values(clients).map((each) => waitUntilReady(each, 60_000)));
  const app = await buildPublicApp(config, clients, onEvent);
  const internal = await buildInternalApp(config, clients, app.latchkey, onEvent);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const internalUrl = await internal.listen({ port: 0, host: '127.0.0.1' });

  const keys = new RedisKeys(config.redisPrefix);
  const store = new SessionStore(
    { lookups: client, scripts: client },
    {
      keys,
      tokenKeys: new TokenKeys(config.tokenKeys),
      lifetimes: config,
      sessionsPerUser: config.sessionsPerUser,
      onBackgroundFault: (error) => {
        throw error;
      },
    },
  );

  const inject = (request: InjectOptions) => app.inject(request);
  const post: TestService['post'] = (path, payload, headers = {}) =>
    inject({ method: 'POST', url: path, headers, ...(payload !== undefined && { payload }) });
  return {
    app,
    internal,
    url,
    internalUrl,
    redis,
    client,
    config,
    keys,
    store,
    inject,
    post,
    get: (path, headers = {}) => inject({ method: 'GET', url: path, headers }),
    async register(username = `user-${randomBytes(6).toString('hex')}`) {
      const reply = await post('/auth/register', { username, password: PASSWORD });
      if (reply.statusCode !== 201) throw new Error(`POST /auth/register answered ${reply.statusCode} ${reply.body}`);
      return reply.json<{ subject: string; username: string }>();
    },
    mint: (subject = randomBytes(16).toString('base64url'), request = {}) =>
      store.issue({
        identity: { subject, username: 'ada', methods: ['pwd'] },
        origin: { device: 'Firefox 140 · Linux', address: '192.0.2.1' },
        ...request,
      }),
    async age({ pair: { refresh } }, ms) {
      const key = keys.session(refresh.partition, refresh.sessionId);
      for (const field of ['rotatedAt', 'confirmedAt']) {
        const at = await client.hget(key, field);
        if (at !== null) await client.hset(key, field, String(Number(at) - ms));
      }
    },
    sessionStatus: async (tokens) => (await inject({ url: '/auth/session', headers: bearer(tokens) })).statusCode,
    untilConfirmed: ({ pair: { refresh } }) =>
      until(
        'the pair is confirmed',
        async () => (await client.hexists(keys.session(refresh.partition, refresh.sessionId), 'confirmedAt')) === 1,
      ),
    async afterCommand(words, act) {
      const monitor = await redis.client().monitor();
      const acted = new Promise((resolve) => {
        monitor.on('monitor', (_time: string, command: string[]) => {
          if (words.every((word) => command.some((each) => each.includes(word)))) resolve(monitor.disconnect());
        });
      }).then(act);
      acted.catch(() => undefined);
    },
    async close() {
      await Promise.all([app.close(), internal.close(), store.close()]);
      for (const each of Object.values(clients)) each.disconnect();
      redis.resume();
      const refused =
        client.status === 'ready'
          ? (await readRefusals(client)).filter((each) => each.startsWith(`${user.username}:`))
          : [];
      if (!given) await redis.stop();
      else client.disconnect();
      if (refused.length > 0) throw new Error(`users.acl refused the service: ${refused.join('; ')}`);
    },
  };
}

/** Builds the header with which a bearer client presents its access token. */
export function bearer({ pair }: IssuedTokens): { authorization: string } {
  return { authorization: `Bearer ${pair.access.token}` };
}

/** Builds the headers of a same-origin browser request that carries our cookies. */
export function browser(
  { pair }: IssuedTokens,
  only?: 'access' | 'refresh',
): { cookie: string; 'sec-fetch-site': string } {
  const cookies = [
    ...(only === 'refresh' ? [] : [`${ACCESS_COOKIE}=${pair.access.token}`]),
    ...(only === 'access' ? [] : [`${REFRESH_COOKIE}=${pair.refresh.token}`]),
  ];
  return { cookie: cookies.join('; '), 'sec-fetch-site': 'same-origin' };
}

interface SetCookie {
  name: string;
  value: string;
  /** By lower-case name. */
  attributes: Record<string, string>;
}

/** Parses the `Set-Cookie` headers of a response. */
export function setCookies(reply: Pick<LightMyRequestResponse, 'headers'>): SetCookie[] {
  return [reply.headers['set-cookie'] ?? []].flat().map((header) => {
    const [pair, ...attributes] = header.split('; ').map((part) => part.split('='));
    const [name = '', value = ''] = pair ?? [];
    return {
      name,
      value,
      attributes: Object.fromEntries(attributes.map(([key = '', word = '']) => [key.toLowerCase(), word])),
    };
  });
}

/** Our cookies in a browser: kept until a response removes them, and sent only to paths that they are for. */
export class CookieJar {
  readonly #cookies = new Map<string, SetCookie>();

  get size(): number {
    return this.#cookies.size;
  }

  keep(reply: Pick<LightMyRequestResponse, 'headers'>): void {
    for (const cookie of setCookies(reply)) {
      if (Number(cookie.attributes['max-age']) > 0) this.#cookies.set(cookie.name, cookie);
      else this.#cookies.delete(cookie.name);
    }
  }

  value(name: string): string | undefined {
    return this.#cookies.get(name)?.value;
  }

  headers(path: string): { cookie: string; 'sec-fetch-site': string } {
    const sent = [...this.#cookies.values()].filter(({ attributes }) => path.startsWith(attributes.path ?? '/'));
    return { cookie: sent.map(({ name, value }) => `${name}=${value}`).join('; '), 'sec-fetch-site': 'same-origin' };
  }
}
