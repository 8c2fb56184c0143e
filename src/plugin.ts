import type { AddressInfo } from 'node:net';
import type { FastifyInstance, FastifyPluginAsync } from 'fastify';
import fp from 'fastify-plugin';
import { AccountLinks } from './federation/links.js';
import { LoginAttempts } from './federation/login-attempts.js';
import { LogoutTokens } from './federation/logout-tokens.js';
import { ProviderSessions } from './federation/provider-sessions.js';
import { type OidcProvider, Providers } from './federation/providers.js';
import { addAuthRoutes } from './http/auth/index.js';
import type { AuthEvent } from './http/flows/audit.js';
import { requireSession, type SessionHook, type SessionRequirements } from './http/flows/guards.js';
import type { LocalUsers, Services } from './http/flows/services.js';
import { toCredentialVerifier, type VerifyCredentials } from './http/flows/verify-credentials.js';
import { TokenCookies } from './http/kit/cookies.js';
import { type OAuthClient, OAuthClients } from './http/oauth/clients.js';
import { oauthRoutes } from './http/oauth/index.js';
import { oidcRoutes } from './http/oidc/index.js';
import { type Brand, pageRoutes } from './http/pages/index.js';
import { UserDirectory } from './identity/directory.js';
import { PasswordHasher } from './identity/password-hasher.js';
import { Passwords } from './identity/passwords.js';
import { Registration } from './identity/registration.js';
import { Throttle } from './identity/throttle.js';
import { defaultCookieName, DEFAULTS, type Lifetimes, type ThrottleLimits, validateNumbers } from './options.js';
import { readRedisTime } from './redis/clock.js';
import { RedisKeys } from './redis/keys.js';
import type { RedisClient } from './redis/script.js';
import type { RedisClients } from './sessions/authenticator.js';
import type { Principal } from './sessions/session.js';
import { SessionStore } from './sessions/store.js';
import { TokenKeys } from './sessions/token.js';

/** Options of the plugin. Durations are in milliseconds. */
export interface LatchkeyOptions extends Partial<Lifetimes>, Partial<ThrottleLimits> {
  /**
   * An ioredis client for everything, or one for lookups and one for scripts, so that slow scripts do not delay
   * lookups. With `revocationReplicas`, add one for revocations: while a connection waits for replicas, it runs no
   * other command.
   */
  readonly redis: RedisClient | RedisClients;
  /** Secrets of at least 32 characters. The first signs new sessions; tokens signed with any of them are accepted. */
  readonly tokenKeys: readonly [string, ...string[]];
  /** Prefix of every key in Redis. Default: `lk:`. */
  readonly redisPrefix?: string;
  /** Origins at which browsers reach the app, such as `https://example.com`. Default: the address it listens on. */
  readonly publicOrigins?: readonly string[] | undefined;
  /** Maximum number of sessions per user. A login above it ends the least recently refreshed one. Default: 100. */
  readonly sessionsPerUser?: number;
  /**
   * How many replicas must have a revocation before it is acknowledged, so that a failover to one of them cannot
   * undo it. Default: 0.
   */
  readonly revocationReplicas?: number;
  /** Whether anyone can register. Default: `open`. */
  readonly registration?: 'open' | 'closed';
  /** Minimum length of a new password in characters, at least 8. Default: 15. */
  readonly passwordMinLength?: number;
  /** Processes on this machine that share its cores for hashing passwords. Default: 1. */
  readonly workers?: number;
  /**
   * How recent a login must be to change the password or end other sessions. Default: 15 minutes. 0 disables the check.
   */
  readonly recentAuthenticationMs?: number;
  /** Clients that may use the OAuth endpoints. Without this option, the endpoints are not registered. */
  readonly oauthClients?: readonly OAuthClient[];
  /** OpenID Connect providers that users can log in with. */
  readonly oidcProviders?: readonly OidcProvider[] | undefined;
  /** Receives every authentication event. Default: each is logged. */
  readonly onEvent?: (event: AuthEvent) => void;
  /** Verifies credentials of the host application's own users. Disables registration and password changes. */
  readonly verifyCredentials?: VerifyCredentials;
  /** Prefix of the routes. Default: `/auth`. Browsers send the refresh cookie only to paths below it. */
  readonly prefix?: string;
  /** Base of the cookie names. Default: `latchkey`, or `latchkey-login-v2` if `prefix` is, for example, `/login/v2`. */
  readonly cookieName?: string;
  /** Where a browser is sent to log in. Default: `/login`. */
  readonly loginPage?: string;
  /** Brand of the pages `/login`, `/register` and `/account`. Without this option, the pages are not registered. */
  readonly pages?: Brand;
}

/** The object that the plugin adds to an app as `app.latchkey`. */
export interface Latchkey extends Pick<
  SessionStore,
  'issue' | 'authenticate' | 'revoke' | 'revokeAll' | 'list' | 'get' | 'update'
> {
  /** Creates an `onRequest` hook for routes that need a session; see {@link requireSession}. */
  requireSession(requirements?: SessionRequirements): SessionHook;
}

declare module 'fastify' {
  interface FastifyInstance {
    latchkey: Latchkey;
  }
  interface FastifyRequest {
    /** The authenticated principal; null on a route that requires no session. */
    principal: Principal | null;
  }
}

/** The options with defaults filled in. */
type Settings = LatchkeyOptions & typeof DEFAULTS;

const plugin: FastifyPluginAsync<LatchkeyOptions> = async (app, options) => {
  const settings = withDefaults(options);
  const { prefix, passwordMinLength, sessionLifetimeMs, oidcProviders = [], pages, oauthClients } = settings;
  const clients = toClients(settings.redis);
  const keys = new RedisKeys(settings.redisPrefix);
  const services = buildServices(app, settings, clients, keys);
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
  await app.register((instance) => addAuthRoutes(instance, services), { prefix });
  if (services.links) {
    const oidc = {
      ...services,
      providers: new Providers(oidcProviders),
      links: services.links,
      loginAttempts: new LoginAttempts(clients.scripts, keys),
      providerSessions: new ProviderSessions(clients.scripts, keys, sessionLifetimeMs),
      logoutTokens: new LogoutTokens(clients.scripts, keys),
      sessionLifetimeMs,
    };
    await app.register((instance) => oidcRoutes(instance, oidc), { prefix });
  }
  if (pages) {
    const providers = oidcProviders.map(({ name }) => ({ name, href: `${prefix}/oidc/${encodeURIComponent(name)}` }));
    const pagesOptions = { services, brand: pages, authPrefix: prefix, passwordMinLength, providers };
    await app.register((instance) => pageRoutes(instance, pagesOptions));
  }
  if (oauthClients) {
    const oauth = { ...services, clients: new OAuthClients(oauthClients) };
    await app.register((instance) => oauthRoutes(instance, oauth));
  }
};

/** Fills in the defaults and validates the numbers; see {@link validateNumbers}. */
function withDefaults(options: LatchkeyOptions): Settings {
  // JavaScript hosts may pass null for an option that they leave out.
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value != null));
  const settings = { ...DEFAULTS, ...given } as Settings;
  validateNumbers(settings);
  return settings;
}

function buildServices(app: FastifyInstance, settings: Settings, clients: RedisClients, keys: RedisKeys): Services {
  const users = settings.verifyCredentials ? undefined : buildLocalUsers(settings, clients.scripts, keys);
  return {
    sessions: new SessionStore(clients, {
      keys,
      tokenKeys: new TokenKeys(settings.tokenKeys),
      lifetimes: settings,
      sessionsPerUser: settings.sessionsPerUser,
      revocationReplicas: settings.revocationReplicas,
      onBackgroundFault: (error) =>
        app.log.warn({ err: error }, 'Could not record that a token pair reached its client; its next request retries'),
    }),
    verifyCredentials: settings.verifyCredentials
      ? toCredentialVerifier(settings.verifyCredentials)
      : (credentials) => users!.passwords.verify(credentials),
    users,
    links: settings.oidcProviders?.length ? new AccountLinks(clients.scripts, keys) : undefined,
    throttle: new Throttle(clients.scripts, keys, settings),
    cookies: new TokenCookies({
      name: settings.cookieName ?? defaultCookieName(settings.prefix),
      refreshPath: settings.prefix,
    }),
    origins: collectOrigins(app, settings.publicOrigins),
    registration: settings.registration,
    loginPage: settings.loginPage,
    recentAuthenticationMs: settings.recentAuthenticationMs,
    now: () => readRedisTime(clients.scripts),
    report: settings.onEvent ?? ((event) => app.log.info(event, `${event.event} ${event.outcome}`)),
  };
}

function buildLocalUsers({ workers, passwordMinLength }: Settings, client: RedisClient, keys: RedisKeys): LocalUsers {
  const hasher = new PasswordHasher({ processes: workers });
  const policy = { minimumLength: passwordMinLength };
  return {
    directory: new UserDirectory(client, keys),
    registration: new Registration(client, keys, hasher, policy),
    passwords: new Passwords(client, keys, hasher, policy),
  };
}

function toClients(redis: LatchkeyOptions['redis']): RedisClients {
  return 'lookups' in redis ? redis : { lookups: redis, scripts: redis };
}

/** Returns the configured origins or, without any, a set that is filled once the listening addresses are known. */
function collectOrigins(app: FastifyInstance, publicOrigins: readonly string[] | undefined): ReadonlySet<string> {
  const origins = new Set(publicOrigins);
  if (origins.size === 0) {
    app.addHook('onListen', async () => {
      for (const address of app.addresses()) if (typeof address === 'object') addLocalOrigins(origins, address);
    });
  }
  return origins;
}

function addLocalOrigins(origins: Set<string>, { port, address, family }: AddressInfo): void {
  const host = family === 'IPv6' ? `[${address}]` : address;
  for (const name of ['localhost', host, '127.0.0.1']) origins.add(new URL(`http://${name}:${port}`).origin);
}

/**
 * The Fastify plugin: adds the `/auth` routes, decorates the app with {@link Latchkey}, and sets `request.principal` on
 * routes that require a session.
 *
 * @throws {RangeError} when the plugin is registered, for a number out of range, inconsistent lifetimes, or a token key
 *   of fewer than 32 characters.
 * @example
 * ```ts
 * import Fastify from 'fastify';
 * import { Redis } from 'ioredis';
 * import latchkey from 'latchkey';
 *
 * const app = Fastify();
 * await app.register(latchkey, { redis: new Redis(), tokenKeys: [process.env.TOKEN_KEY!] });
 * app.get('/orders', { onRequest: app.latchkey.requireSession() }, (request) => request.principal!.subject);
 * await app.listen({ port: 3000 });
 * ```
 */
export const latchkey: FastifyPluginAsync<LatchkeyOptions> = fp(plugin, { fastify: '5.x', name: 'latchkey' });
