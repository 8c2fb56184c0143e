import type { FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type { AddressInfo } from 'node:net';
import { TokenCookies } from './http/cookies.js';
import { authRoutes } from './http/routes/index.js';
import type { AuthEvent } from './http/services.js';
import { PasswordHasher } from './identity/hasher.js';
import { Users } from './identity/users.js';
import { Keys } from './redis/keys.js';
import type { RedisClient } from './redis/script.js';
import { DEFAULT_LIFETIMES, type Lifetimes } from './sessions/session.js';
import { SessionStore } from './sessions/store.js';
import { TokenKeys } from './sessions/token.js';

export interface LatchkeyOptions extends Partial<Lifetimes> {
  /** A client to share, or one for lookups and one for scripts, which then do not wait for each other. */
  readonly redis: RedisClient | { readonly lookups: RedisClient; readonly scripts: RedisClient };
  /** Secrets of at least 32 characters: the first signs new sessions, all are known. */
  readonly tokenKeys: readonly [string, ...string[]];
  /** Begins the name of every key in Redis; `lk:` by default. */
  readonly redisPrefix?: string;
  /** Where browsers reach the app, such as `https://example.com`; by default the address listened on. */
  readonly publicOrigins?: readonly string[] | undefined;
  readonly sessionsPerUser?: number;
  /** Replicas that must have a revocation before it is acknowledged, so that no failover undoes it; none by default. */
  readonly revocationReplicas?: number;
  readonly registration?: 'open' | 'closed';
  readonly passwordMinLength?: number;
  /** Told of every authentication event; by default each is logged. */
  readonly onEvent?: (event: AuthEvent) => void;
}

const PREFIX = '/auth';

const plugin: FastifyPluginAsync<LatchkeyOptions> = async (app, options) => {
  const { redis, redisPrefix = 'lk:', sessionsPerUser = 100, registration = 'open', passwordMinLength } = options;
  const clients = 'lookups' in redis ? redis : { lookups: redis, scripts: redis };
  const keys = new Keys(redisPrefix);
  const sessions = new SessionStore(clients, {
    keys,
    tokenKeys: new TokenKeys(options.tokenKeys),
    lifetimes: { ...DEFAULT_LIFETIMES, ...given(options, DEFAULT_LIFETIMES) },
    sessionsPerUser,
    revocationReplicas: options.revocationReplicas,
    onBackgroundFault: (error) => app.log.warn({ err: error }, 'a confirmation failed; the next use repeats it'),
  });
  const users = new Users(
    clients.scripts,
    keys,
    new PasswordHasher(),
    passwordMinLength === undefined ? {} : { minimumPasswordLength: passwordMinLength },
  );
  const origins = new Set(options.publicOrigins);
  if (origins.size === 0) {
    app.addHook('onListen', async () => {
      for (const address of app.addresses()) if (typeof address === 'object') addLocalOrigins(origins, address);
    });
  }

  app.decorateRequest('principal', null);
  app.addHook('onClose', () => sessions.close());
  await app.register(
    async (instance) =>
      authRoutes(instance, {
        sessions,
        users,
        cookies: new TokenCookies({ name: 'latchkey', refreshPath: PREFIX }),
        origins,
        registration,
        loginPage: '/login',
        report: options.onEvent ?? ((event) => app.log.info(event, `${event.event} ${event.outcome}`)),
      }),
    { prefix: PREFIX },
  );
};

/** The options that are given and have a default of the same name. */
function given(options: LatchkeyOptions, defaults: Lifetimes): Partial<Lifetimes> {
  const names = Object.keys(defaults) as (keyof Lifetimes)[];
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}

function addLocalOrigins(origins: Set<string>, { port, address, family }: AddressInfo): void {
  const host = family === 'IPv6' ? `[${address}]` : address;
  for (const name of [host, 'localhost', '127.0.0.1']) origins.add(new URL(`http://${name}:${port}`).origin);
}

/** Sessions in a Fastify app: the `/auth` routes, and `request.principal` on the routes that need one. */
export const latchkey = fp(plugin, { fastify: '5.x', name: 'latchkey' });
