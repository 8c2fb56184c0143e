import { DEFAULTS, MIN_TOKEN_KEY_LENGTH, OPTION_RANGES, SERVICE_DEFAULTS, SERVICE_RANGES } from '../../options.js';
import * as entries from './entry-parsers.js';
import { redisUrl } from './redis-url.js';
import {
  address,
  duration,
  existingFile,
  formatDuration,
  listOf,
  matching,
  oneOf,
  path,
  processCount,
  type ValueFormat,
  wholeNumber,
} from './values.js';

/** An environment variable. It has either a default or, in `unset`, a description of what happens without it. */
export interface Variable {
  readonly name: string;
  readonly format: ValueFormat<unknown>;
  /** As it is written in the environment. */
  readonly default?: string;
  readonly unset?: string;
  /** Can also be read from the file that `<name>_FILE` names. */
  readonly secret?: true;
  readonly description: string;
}

/** Every variable, by its name in {@link Config}. Parsing, defaults and docs/configuration.md come from here. */
export const variables = {
  nodeEnv: {
    name: 'NODE_ENV',
    format: oneOf('development', 'production', 'test'),
    default: SERVICE_DEFAULTS.nodeEnv,
    description: '`production` requires token keys and refuses plain HTTP origins.',
  },
  logLevel: {
    name: 'LOG_LEVEL',
    format: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: SERVICE_DEFAULTS.logLevel,
    description: 'Minimum level that is logged.',
  },
  port: {
    name: 'PORT',
    format: wholeNumber(SERVICE_RANGES.port),
    default: String(SERVICE_DEFAULTS.port),
    description: 'Port of the public listener. 0 picks a free one.',
  },
  host: {
    name: 'HOST',
    format: address,
    default: SERVICE_DEFAULTS.host,
    description: 'Address of the public listener. In a container, `0.0.0.0`.',
  },
  internalPort: {
    name: 'INTERNAL_PORT',
    format: wholeNumber(SERVICE_RANGES.internalPort),
    default: String(SERVICE_DEFAULTS.internalPort),
    description: 'Port of the internal listener. 0 picks a free one.',
  },
  internalHost: {
    name: 'INTERNAL_HOST',
    format: address,
    default: SERVICE_DEFAULTS.internalHost,
    description: 'Address of the internal listener. Never expose it to the public.',
  },
  workers: {
    name: 'WORKERS',
    format: processCount(OPTION_RANGES.workers),
    default: String(DEFAULTS.workers),
    description: 'Number of processes that serve requests; `auto` starts one for each core.',
  },
  publicOrigins: {
    name: 'PUBLIC_ORIGIN',
    format: listOf('origins', entries.parseOrigin),
    unset: 'the address that the service listens on',
    description:
      'Where browsers reach the service, such as `https://example.com`. The `Origin` header of ' +
      'state-changing requests with cookies is checked against these.',
  },
  trustProxy: {
    name: 'TRUST_PROXY',
    format: listOf(
      'IP addresses, ranges such as `10.0.0.0/8`, or `loopback`, `linklocal`, `uniquelocal`',
      entries.parseProxy,
    ),
    unset: 'no proxy is trusted',
    description:
      "The reverse proxies whose `X-Forwarded-*` headers are trusted for the client's address, host and scheme.",
  },
  redis: {
    name: 'REDIS_URL',
    format: redisUrl,
    unset: 'a private redis-server',
    secret: true,
    description: 'The Redis that holds all state. See [the forms of REDIS_URL](#redis_url).',
  },
  redisPrefix: {
    name: 'REDIS_PREFIX',
    format: matching('1 to 64 letters, digits and any of `_ : . -`', /^[\w:.-]{1,64}$/),
    default: DEFAULTS.redisPrefix,
    description: 'Prefix of every key, so that several applications can share a Redis.',
  },
  redisTimeoutMs: {
    name: 'REDIS_TIMEOUT',
    format: duration(SERVICE_RANGES.redisTimeoutMs),
    default: formatDuration(SERVICE_DEFAULTS.redisTimeoutMs),
    description: 'Timeout of a Redis command. The request then fails with a 503.',
  },
  dataDirectory: {
    name: 'DATA_DIRECTORY',
    format: path,
    default: SERVICE_DEFAULTS.dataDirectory,
    description:
      'Holds the data of the private Redis and, outside production, the token key that the service generates.',
  },
  tokenKeys: {
    name: 'TOKEN_KEYS',
    format: listOf(`secrets of at least ${MIN_TOKEN_KEY_LENGTH} characters`, entries.parseTokenKey),
    unset: 'one is generated into `DATA_DIRECTORY`',
    secret: true,
    description:
      'The first signs new sessions; tokens signed with any of them are accepted. To rotate keys: append the new ' +
      'key on every instance, then move it to the front, then remove the old one.',
  },
  accessLifetimeMs: {
    name: 'ACCESS_TOKEN_LIFETIME',
    format: duration(OPTION_RANGES.accessLifetimeMs),
    default: formatDuration(DEFAULTS.accessLifetimeMs),
    description: 'How long an access token is valid.',
  },
  refreshLifetimeMs: {
    name: 'REFRESH_TOKEN_LIFETIME',
    format: duration(OPTION_RANGES.refreshLifetimeMs),
    default: formatDuration(DEFAULTS.refreshLifetimeMs),
    description: 'How long a refresh token is valid: the idle timeout of a session, restarted by each refresh.',
  },
  sessionLifetimeMs: {
    name: 'SESSION_LIFETIME',
    format: duration(OPTION_RANGES.sessionLifetimeMs),
    default: formatDuration(DEFAULTS.sessionLifetimeMs),
    description: 'The absolute lifetime of a session, which no refresh extends.',
  },
  refreshGraceMs: {
    name: 'REFRESH_GRACE',
    format: duration(OPTION_RANGES.refreshGraceMs),
    default: formatDuration(DEFAULTS.refreshGraceMs),
    description:
      'Grace period: how long after a new pair is confirmed the previous refresh token still returns that pair. ' +
      'Delays of a request or response by up to half of it do not log users out.',
  },
  refreshRetryWindowMs: {
    name: 'REFRESH_RETRY_WINDOW',
    format: duration(OPTION_RANGES.refreshRetryWindowMs),
    default: formatDuration(DEFAULTS.refreshRetryWindowMs),
    description:
      'How long a refresh can be retried if its response was lost, that is, while the new pair is unconfirmed.',
  },
  sessionsPerUser: {
    name: 'SESSIONS_PER_USER',
    format: wholeNumber(OPTION_RANGES.sessionsPerUser),
    default: String(DEFAULTS.sessionsPerUser),
    description: 'Maximum number of sessions per user. A login above it ends the least recently refreshed one.',
  },
  revocationReplicas: {
    name: 'REVOCATION_REPLICAS',
    format: wholeNumber(OPTION_RANGES.revocationReplicas),
    default: String(DEFAULTS.revocationReplicas),
    description:
      'How many replicas must have a revocation before it is acknowledged, so that a failover to one of them cannot ' +
      'undo it. If too few confirm in time, the request fails with a 503.',
  },
  oauthClients: {
    name: 'OAUTH_CLIENTS',
    format: listOf(
      'OAuth clients: `<id>` for a public one, `<id>:<hash of its secret>` for a confidential one',
      entries.parseOAuthClient,
    ),
    unset: 'no clients',
    secret: true,
    description:
      'Who may use the [OAuth endpoints](oauth.md). `npm run oauth-client -- <id>` generates a secret and its entry.',
  },
  oidcProviders: {
    name: 'OIDC_PROVIDERS',
    format: listOf(
      'OpenID Connect providers: `<name> <issuer> <client id> <client secret>`',
      entries.parseOidcProvider,
    ),
    unset: 'no providers',
    secret: true,
    description: 'Providers that users can [log in](oidc.md) with, in addition to passwords.',
  },
  adminKeys: {
    name: 'ADMIN_KEYS',
    format: listOf('API keys: `<name>:<hash of the key>:<scope>+<scope>…`', entries.parseAdminKey),
    unset: 'no admin API',
    secret: true,
    description:
      'Who may use the [admin API](admin.md). `npm run admin-key -- <name> <scope>…` generates a key and its entry.',
  },
  webhooks: {
    name: 'WEBHOOKS',
    format: listOf('endpoints: `<url> <secret>`, with several secrets while one is replaced', entries.parseWebhook),
    unset: 'no webhooks',
    secret: true,
    description: 'Where [events](webhooks.md) are sent. A secret is `whsec_` and 24 to 64 random bytes in base64.',
  },
  brandName: {
    name: 'BRAND_NAME',
    format: matching('1 to 64 printable characters', /^\P{C}{1,64}$/u),
    default: SERVICE_DEFAULTS.brandName,
    description: 'The name shown on the pages.',
  },
  brandStylesheet: {
    name: 'BRAND_STYLESHEET',
    format: existingFile,
    unset: 'the default look',
    description:
      'A stylesheet that sets the custom properties at the top of `src/http/pages/assets/pages.css`; read at startup.',
  },
  registration: {
    name: 'REGISTRATION',
    format: oneOf('open', 'closed'),
    default: DEFAULTS.registration,
    description: 'Whether anyone can register.',
  },
  loginFailuresPerAccount: {
    name: 'LOGIN_FAILURES_PER_ACCOUNT',
    format: wholeNumber(OPTION_RANGES.loginFailuresPerAccount),
    default: String(DEFAULTS.loginFailuresPerAccount),
    description:
      'Wrong passwords for one username from one network within `LOGIN_FAILURE_WINDOW`; above it, further attempts ' +
      'from that network, and only from it, get a 429. A network is an IPv4 address or an IPv6 /64.',
  },
  loginFailuresPerNetwork: {
    name: 'LOGIN_FAILURES_PER_NETWORK',
    format: wholeNumber(OPTION_RANGES.loginFailuresPerNetwork),
    default: String(DEFAULTS.loginFailuresPerNetwork),
    description: 'Wrong passwords from one network within `LOGIN_FAILURE_WINDOW`, for any username.',
  },
  loginFailureWindowMs: {
    name: 'LOGIN_FAILURE_WINDOW',
    format: duration(OPTION_RANGES.loginFailureWindowMs),
    default: formatDuration(DEFAULTS.loginFailureWindowMs),
    description: 'How long after the first wrong password the counters are reset.',
  },
  registrationsPerNetwork: {
    name: 'REGISTRATIONS_PER_NETWORK',
    format: wholeNumber(OPTION_RANGES.registrationsPerNetwork),
    default: String(DEFAULTS.registrationsPerNetwork),
    description: 'Attempts to register from one network within an hour.',
  },
  providerLoginsPerNetwork: {
    name: 'PROVIDER_LOGINS_PER_NETWORK',
    format: wholeNumber(OPTION_RANGES.providerLoginsPerNetwork),
    default: String(DEFAULTS.providerLoginsPerNetwork),
    description: 'Provider logins started from one network within ten minutes, which is how long Redis stores each.',
  },
  recentAuthenticationMs: {
    name: 'RECENT_AUTHENTICATION',
    format: duration(OPTION_RANGES.recentAuthenticationMs),
    default: formatDuration(DEFAULTS.recentAuthenticationMs),
    description:
      'How recent a login must be to change the password or end other sessions. Linking and unlinking accounts at ' +
      'providers requires a login within two minutes, or within this if it is shorter. `0s` disables both checks.',
  },
  passwordMinLength: {
    name: 'PASSWORD_MIN_LENGTH',
    format: wholeNumber(OPTION_RANGES.passwordMinLength),
    default: String(DEFAULTS.passwordMinLength),
    description:
      'Minimum length of a new password, in characters. NIST SP 800-63B-4 requires 15 if the password is the only ' +
      'factor.',
  },
} as const satisfies Record<string, Variable>;

export type Field = keyof typeof variables;

type ValueOf<V extends Variable> =
  Exclude<ReturnType<V['format']['parse']>, undefined> | (V extends { default: string } ? never : undefined);

/** A value for each variable; undefined where it is unset and has no default. */
export type Values = { readonly [F in Field]: ValueOf<(typeof variables)[F]> };
