import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import type { AddressInfo } from 'node:net';
import { TokenCookies } from './http/kit/cookies.js';
import { oidcRoutes } from './http/oidc/index.js';
import { type OidcProvider, Providers } from './http/oidc/providers.js';
import { type OAuthClient, OAuthClients } from './http/oauth/clients.js';
import { oauthRoutes } from './http/oauth/index.js';
import { type Brand, pageRoutes } from './http/pages/index.js';
import { type SessionHook, requireSession, type SessionRequirements } from './http/flows/require-session.js';
import { authRoutes } from './http/auth/index.js';
import type { AuthEvent, Services, VerifyCredentials } from './http/flows/services.js';
import { PasswordHasher } from './identity/hasher.js';
import { Links } from './federation/links.js';
import { DEFAULT_MINIMUM_LENGTH } from './identity/password.js';
import { DEFAULT_THROTTLE, Throttle, type ThrottleLimits } from './identity/throttle.js';
import { Users } from './identity/users.js';
import { readRedisTime } from './redis/clock.js';
import { Keys } from './redis/keys.js';
import type { RedisClient } from './redis/script.js';
import { DEFAULT_LIFETIMES, type Lifetimes, type Principal } from './sessions/session.js';
import type { Clients } from './sessions/authenticator.js';
import { SessionStore } from './sessions/store.js';
import { TokenKeys } from './sessions/token.js';

export interface LatchkeyOptions extends Partial<Lifetimes>, Partial<ThrottleLimits> {
  /**
   * A client to share, or one for lookups and one for scripts, which then do not wait for each other; with `revocationReplicas`
   * one for revocations too, since their connection answers nothing else while they wait.
   */
  readonly redis: RedisClient | Clients;
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
  /** Processes like this one on the same machine, which share its cores for hashing passwords; 1 by default. */
  readonly workers?: number;
  /** How long after a login a session may change the password and end other devices, in milliseconds; 15 minutes by default, 0 is for ever. */
  readonly recentAuthenticationMs?: number;
  /** Who may use the OAuth endpoints, which are there only if this is given. */
  readonly oauthClients?: readonly OAuthClient[];
  /** Providers that users can log in with. */
  readonly oidcProviders?: readonly OidcProvider[] | undefined;
  /** Told of every authentication event; by default each is logged. */
  readonly onEvent?: (event: AuthEvent) => void;
  /** Verifies the host's own users, in place of ours; then there are no routes to register or to change a password. */
  readonly verifyCredentials?: VerifyCredentials;
  /** Where the routes are; `/auth` by default. The refresh cookie is sent nowhere else. */
  readonly prefix?: string;
  /** What the cookies' names are made of; `latchkey` by default, with another prefix `latchkey-` and the words of it. */
  readonly cookieName?: string;
  /** Where a browser is sent that has to log in; `/login` by default. */
  readonly loginPage?: string;
  /** The pages `/login`, `/register` and `/account`, under this brand; not there unless it is given. */
  readonly pages?: Brand;
}

/** What the plugin decorates an app with. */
export interface Latchkey extends Pick<
  SessionStore,
  'issue' | 'authenticate' | 'revoke' | 'revokeAll' | 'list' | 'get' | 'update'
> {
  /** Makes an `onRequest` hook for routes that need a session; see {@link requireSession}. */
  requireSession(requirements?: SessionRequirements): SessionHook;
}

declare module 'fastify' {
  interface FastifyInstance {
    latchkey: Latchkey;
  }
  interface FastifyRequest {
    /** What the access token of this request proved; null where the route does not need one. */
    principal: Principal | null;
  }
}

const PREFIX = '/auth';
const DEFAULT_REDIS_PREFIX = 'lk:';
const SESSIONS_PER_USER = 100;
const RECENT_AUTHENTICATION_MS = 15 * 60_000;

const plugin: FastifyPluginAsync<LatchkeyOptions> = async (app, options) => {
  const { prefix = PREFIX, redisPrefix = DEFAULT_REDIS_PREFIX, oidcProviders = [] } = options;
  checkNumbers(options);
  const services = servicesFor(app, options);
  const { sessions } = services;
  const latchkey: Latchkey = {
    issue: (request) => sessions.issue(request),
    authenticate: (token) => sessions.authenticate(token),
    revoke: (subject, sessionId, reason) => sessions.revoke(subject, sessionId, reason),
    revokeAll: (subject, request) => sessions.revokeAll(subject, request),
    list: (subject) => sessions.list(subject),
    get: (subject, sessionId) => sessions.get(subject, sessionId),
    update: (subject, sessionId, patch) => sessions.update(subject, sessionId, patch),
    requireSession: (requirements) => requireSession(services, requirements),
  };
  app.decorate('latchkey', latchkey);
  app.decorateRequest('principal', null);
  app.addHook('onClose', () => sessions.close());
  await app.register((instance) => authRoutes(instance, services), { prefix });
  if (oidcProviders.length > 0) {
    const { scripts } = clientsOf(options);
    const keys = new Keys(redisPrefix);
    const oidc = {
      ...services,
      providers: new Providers(oidcProviders),
      links: services.links!,
      redis: scripts,
      keys,
      sessionLifetimeMs: lifetimesOf(options).sessionLifetimeMs,
    };
    await app.register((instance) => oidcRoutes(instance, oidc), { prefix });
  }
  if (options.pages) {
    const providers = oidcProviders.map(({ name }) => ({ name, href: `${prefix}/oidc/${encodeURIComponent(name)}` }));
    const passwordMinLength = options.passwordMinLength ?? DEFAULT_MINIMUM_LENGTH;
    const pages = { services, brand: options.pages, base: prefix, passwordMinLength, providers };
    await app.register((instance) => pageRoutes(instance, pages));
  }
  if (options.oauthClients) {
    const clients = new OAuthClients(options.oauthClients);
    await app.register((instance) => oauthRoutes(instance, { ...services, clients }));
  }
};

function servicesFor(app: FastifyInstance, options: LatchkeyOptions): Services {
  const { redisPrefix = DEFAULT_REDIS_PREFIX, prefix = PREFIX, passwordMinLength } = options;
  const clients = clientsOf(options);
  const keys = new Keys(redisPrefix);
  const users = options.verifyCredentials
    ? undefined
    : new Users(clients.scripts, keys, new PasswordHasher({ processes: options.workers ?? 1 }), {
        minimumPasswordLength: passwordMinLength,
      });
  return {
    sessions: new SessionStore(clients, {
      keys,
      tokenKeys: new TokenKeys(options.tokenKeys),
      lifetimes: lifetimesOf(options),
      sessionsPerUser: options.sessionsPerUser ?? SESSIONS_PER_USER,
      revocationReplicas: options.revocationReplicas,
      onBackgroundFault: (error) => app.log.warn({ err: error }, 'a confirmation failed; the next use repeats it'),
    }),
    verifyCredentials: options.verifyCredentials ?? ((credentials) => users!.verify(credentials)),
    users,
    links: options.oidcProviders?.length ? new Links(clients.scripts, keys) : undefined,
    throttle: new Throttle(clients.scripts, keys, limitsOf(options)),
    cookies: new TokenCookies({ name: options.cookieName ?? cookieNameFor(prefix), refreshPath: prefix }),
    origins: originsOf(app, options.publicOrigins),
    registration: options.registration ?? 'open',
    loginPage: options.loginPage ?? '/login',
    recentAuthenticationMs: options.recentAuthenticationMs ?? RECENT_AUTHENTICATION_MS,
    now: () => readRedisTime(clients.scripts),
    report: options.onEvent ?? ((event) => app.log.info(event, `${event.event} ${event.outcome}`)),
  };
}

function lifetimesOf(options: LatchkeyOptions): Lifetimes {
  return { ...DEFAULT_LIFETIMES, ...given(options, DEFAULT_LIFETIMES) };
}

function limitsOf(options: LatchkeyOptions): ThrottleLimits {
  return { ...DEFAULT_THROTTLE, ...given(options, DEFAULT_THROTTLE) };
}

/** @throws {RangeError} for an option that is no whole number, and for lifetimes that contradict each other. */
function checkNumbers(options: LatchkeyOptions): void {
  const {
    sessionsPerUser = SESSIONS_PER_USER,
    recentAuthenticationMs = RECENT_AUTHENTICATION_MS,
    revocationReplicas = 0,
  } = options;
  const lifetimes = lifetimesOf(options);
  const mayBeNothing = { refreshGraceMs: lifetimes.refreshGraceMs, recentAuthenticationMs, revocationReplicas };
  for (const [name, value] of Object.entries({
    ...lifetimes,
    ...limitsOf(options),
    sessionsPerUser,
    ...mayBeNothing,
  })) {
    const least = name in mayBeNothing ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < least)
      throw new RangeError(`${name} must be a whole number of at least ${least}`);
  }
  const { accessLifetimeMs, refreshLifetimeMs, sessionLifetimeMs, refreshGraceMs, refreshRetryWindowMs } = lifetimes;
  if (refreshGraceMs >= accessLifetimeMs) throw new RangeError('refreshGraceMs must be shorter than accessLifetimeMs');
  if (refreshRetryWindowMs < refreshGraceMs)
    throw new RangeError('refreshRetryWindowMs must not be shorter than refreshGraceMs');
  if (accessLifetimeMs > refreshLifetimeMs)
    throw new RangeError('accessLifetimeMs must not be longer than refreshLifetimeMs');
  if (refreshLifetimeMs > sessionLifetimeMs)
    throw new RangeError('refreshLifetimeMs must not be longer than sessionLifetimeMs');
}

function clientsOf({ redis }: LatchkeyOptions): Clients {
  return 'lookups' in redis ? redis : { lookups: redis, scripts: redis };
}

/** Two instances in one app, under two prefixes, do not take each other's cookies. */
function cookieNameFor(prefix: string): string {
  return ['latchkey', ...(prefix === PREFIX ? [] : prefix.split(/[^\w]+/).filter(Boolean))].join('-');
}

/** Where browsers reach the app; if it is not told, the addresses listened on, from when they are known. */
function originsOf(app: FastifyInstance, given: readonly string[] | undefined): ReadonlySet<string> {
  const origins = new Set(given);
  if (origins.size === 0) {
    app.addHook('onListen', async () => {
      for (const address of app.addresses()) if (typeof address === 'object') addLocalOrigins(origins, address);
    });
  }
  return origins;
}

/** The options that are given and have a default of the same name. */
function given<T extends object>(options: Partial<T>, defaults: T): Partial<T> {
  const names = Object.keys(defaults) as (keyof T)[];
  return Object.fromEntries(
    names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  ) as Partial<T>;
}

function addLocalOrigins(origins: Set<string>, { port, address, family }: AddressInfo): void {
  const host = family === 'IPv6' ? `[${address}]` : address;
  for (const name of ['localhost', host, '127.0.0.1']) origins.add(new URL(`http://${name}:${port}`).origin);
}

/** Sessions in a Fastify app: the `/auth` routes, and `request.principal` on the routes that need one. */
export const latchkey = fp(plugin, { fastify: '5.x', name: 'latchkey' });
