import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { ADMIN_SCOPES, type AdminScope } from '../../http/kit/route.js';
import { LatchkeyError } from '../../errors.js';
import { isLoopbackHost } from '../../options.js';
import type { RedisLocation, RedisNode } from '../../redis/connect.js';

/** Thrown by {@link loadConfig}: `problems` holds one sentence for each mistake, naming its variable, never its value. */
export class ConfigError extends LatchkeyError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super('invalid_configuration', ['The configuration is not valid:', ...problems].join('\n- '));
    this.problems = problems;
  }
}

type RedisAccess = Pick<RedisLocation, 'username' | 'password'>;

type Refuse = (why: string) => undefined;

/** How a value is written and read. */
export interface Form<T> {
  /** For people, in docs/configuration.md. */
  form: string;
  /** Gives the value, or refuses once or several times and gives `undefined`. */
  read(text: string, refuse: Refuse): T | undefined;
}

/** One variable of the environment. */
export interface Variable {
  name: string;
  type: Form<unknown>;
  /** As one would write it in the environment. */
  default?: string;
  /** What being unset means, when there is no default. */
  unset?: string;
  /** Can also be read from the file that `<name>_FILE` names. */
  secret?: true;
  description: string;
}

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const MIN_TOKEN_KEY_LENGTH = 32;
const NETWORKS = ['loopback', 'linklocal', 'uniquelocal'];

function duration(min: string, max: string): Form<number> {
  return {
    form: `duration, ${min} to ${max}`,
    read(text, refuse) {
      const ms = milliseconds(text);
      if (ms === undefined) return refuse('must be a duration such as 250ms, 30s, 15m, 24h or 30d');
      if (ms < milliseconds(min)! || ms > milliseconds(max)!) return refuse(`must be from ${min} to ${max}`);
      return ms;
    },
  };
}

function milliseconds(text: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  return match ? Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS] : undefined;
}

function whole(min: number, max: number): Form<number> {
  const range = `whole number, ${min} to ${max}`;
  return {
    form: range,
    read(text, refuse) {
      const value = wholeNumber(text, min, max);
      return value ?? refuse(`must be a ${range}`);
    },
  };
}

function wholeNumber(text: string, min: number, max: number): number | undefined {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  return value >= min && value <= max ? value : undefined;
}

function oneOf<const Word extends string>(...words: readonly Word[]): Form<Word> {
  return {
    form: words.map((word) => `\`${word}\``).join(', '),
    read: (text, refuse) => words.find((word) => word === text) ?? refuse(`must be one of ${words.join(', ')}`),
  };
}

function matching(form: string, pattern: RegExp): Form<string> {
  return { form, read: (text, refuse) => (pattern.test(text) ? text : refuse(`must be ${form}`)) };
}

const workers: Form<number> = {
  form: 'whole number, 1 to 64, or `auto`',
  read: (text, refuse) =>
    text === 'auto'
      ? availableParallelism()
      : (wholeNumber(text, 1, 64) ?? refuse('must be a whole number, 1 to 64, or auto')),
};

const address = matching('a host name or an IP address', /^[\w.:%-]+$/);

const path: Form<string> = { form: 'path', read: (text) => text };

const existingFile: Form<string> = {
  form: 'path of a file',
  read: (text, refuse) => (existsSync(text) ? text : refuse('names a file that is not there')),
};

/** Reads a comma-separated list, telling what is wrong with each entry by its place in the list. */
function listOf<T>(form: string, read: (entry: string) => T | { wrong: string }): Form<readonly T[]> {
  return {
    form: `${form}, comma-separated`,
    read(text, refuse) {
      const values = new Set<T>();
      text.split(',').forEach((untrimmed, index) => {
        const entry = untrimmed.trim();
        const value = entry === '' ? { wrong: 'is empty' } : read(entry);
        if (isWrong(value)) refuse(`entry ${index + 1} ${value.wrong}`);
        else if (values.has(value)) refuse(`entry ${index + 1} repeats another`);
        else values.add(value);
      });
      return [...values];
    },
  };
}

function isWrong(value: unknown): value is { wrong: string } {
  return typeof value === 'object' && value !== null && 'wrong' in value;
}

function origin(text: string): string | { wrong: string } {
  const url = /^https?:\/\/[^*]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.href !== `${url?.origin}/`) {
    return { wrong: 'must be an origin: https://, a host and perhaps a port, nothing else' };
  }
  return url.origin;
}

function isInsecure(publicOrigin: string): boolean {
  const { protocol, hostname } = new URL(publicOrigin);
  return protocol === 'http:' && !isLoopbackHost(hostname);
}

function proxy(text: string): string | { wrong: string } {
  if (NETWORKS.includes(text)) return text;
  if (text === 'true') return { wrong: 'must not be true: that believes anyone; name the proxies' };
  const [address = '', bits, ...rest] = text.split('/');
  const version = address.includes('%') ? 0 : isIP(address);
  const fits = bits === undefined || wholeNumber(bits, 1, version === 4 ? 32 : 128) !== undefined;
  if (version !== 0 && fits && rest.length === 0) return text;
  return { wrong: `must be an IP address, a range such as 10.0.0.0/8, or one of ${NETWORKS.join(', ')}` };
}

function tokenKey(text: string): string | { wrong: string } {
  return [...text].length >= MIN_TOKEN_KEY_LENGTH
    ? text
    : { wrong: `must have at least ${MIN_TOKEN_KEY_LENGTH} characters` };
}

function oauthClient(text: string): { id: string; secretHash: string | undefined } | { wrong: string } {
  const match = /^([\w.~-]{1,64})(?::([\w-]{43}))?$/.exec(text);
  if (!match)
    return {
      wrong:
        'must be an id of letters, digits and . _ ~ -, and for a confidential client a colon and the SHA-256 of its secret, base64url',
    };
  return { id: match[1]!, secretHash: match[2] };
}

function oidcProvider(
  text: string,
): { name: string; issuer: string; clientId: string; clientSecret: string } | { wrong: string } {
  const [name = '', issuer = '', clientId = '', clientSecret = '', ...rest] = text.split(/ +/);
  if (!/^[\w.~-]{1,64}$/.test(name) || clientSecret === '' || rest.length > 0)
    return {
      wrong:
        'must be a name of letters, digits and . _ ~ -, an issuer, a client id and its secret, with spaces between',
    };
  const url = /^https?:\/\/[^?#@]+$/.test(issuer) && URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (!url || isInsecure(issuer))
    return { wrong: 'must have an https:// issuer without a query; http:// only on localhost, 127.0.0.1 and [::1]' };
  return { name, issuer, clientId, clientSecret };
}

function adminKey(text: string): { name: string; digest: string; scopes: readonly AdminScope[] } | { wrong: string } {
  const match = /^([\w.~-]{1,64}):([\w-]{43}):(.+)$/.exec(text);
  if (!match)
    return { wrong: 'must be a name, a colon, the SHA-256 of the key in base64url, a colon, and scopes joined by +' };
  const scopes = match[3]!.split('+').map((word) => ADMIN_SCOPES.find((scope) => scope === word));
  if (!scopes.every((scope) => scope !== undefined))
    return { wrong: `must have scopes out of ${ADMIN_SCOPES.join(', ')}` };
  return { name: match[1]!, digest: match[2]!, scopes };
}

function webhook(text: string): { url: string; secrets: readonly string[] } | { wrong: string } {
  const [url = '', ...secrets] = text.split(/ +/);
  if (!/^https?:\/\/[^/?#@]+([/?][^#]*)?$/i.test(url) || !URL.canParse(url))
    return { wrong: 'must begin with an http:// or https:// URL without credentials' };
  const keys = secrets.map((secret) => /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(secret)?.[1] ?? '');
  const lengths = keys.map((key) => Buffer.from(key, 'base64').length);
  const strong = lengths.length > 0 && lengths.every((bytes) => bytes >= 24 && bytes <= 64);
  return strong
    ? { url: new URL(url).href, secrets }
    : { wrong: 'must have, after its URL and a space, a secret: whsec_ and 24 to 64 bytes in base64' };
}

const redisLocation: Form<RedisLocation> = {
  form: '`redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `rediss+sentinel://`, or several `redis://` or `rediss://`, comma-separated',
  read(text, refuse) {
    if (text.startsWith('unix:')) return unixLocation(text, refuse);
    if (/^rediss?\+sentinel:/.test(text)) return sentinelLocation(text, refuse);
    const servers = text.split(/,(?=rediss?:)/).map((url) => serverLocation(url, refuse));
    const [first] = servers;
    return servers.length === 1 ? first : clusterLocation(servers, refuse);
  },
};

function serverLocation(text: string, refuse: Refuse): Extract<RedisLocation, { kind: 'standalone' }> | undefined {
  const match = /^(rediss?):\/\/(?:([^@/]*)@)?([^@/,]+)(?:\/(\d{0,5}))?$/.exec(text);
  const node = match && nodeAt(match[3]!, 6379);
  if (!node) return refuse('must have the form redis[s]://[[user]:password@]host[:port][/database]');
  const access = accessOf(match[2], refuse);
  return access && { kind: 'standalone', ...node, db: Number(match[4] ?? 0), tls: match[1] === 'rediss', ...access };
}

function clusterLocation(
  servers: readonly ReturnType<typeof serverLocation>[],
  refuse: Refuse,
): RedisLocation | undefined {
  const known = servers.filter((server) => server !== undefined);
  const [first] = known;
  if (first === undefined || known.length < servers.length) return undefined;
  const { tls, username, password } = first;
  if (known.some((each) => each.tls !== tls || each.username !== username || each.password !== password)) {
    return refuse('must give every node of a Cluster the same scheme, user and password');
  }
  if (known.some((each) => each.db !== 0)) return refuse('must not name a database: a Cluster has only one');
  return { kind: 'cluster', nodes: known.map(({ host, port }) => ({ host, port })), tls, username, password };
}

function sentinelLocation(text: string, refuse: Refuse): RedisLocation | undefined {
  const match = /^(rediss?)\+sentinel:\/\/(?:([^@/]*)@)?([^@/]+)\/([\w.-]+)(?:\/(\d{0,5}))?$/.exec(text);
  const sentinels = match?.[3]!.split(',').map((host) => nodeAt(host, 26_379));
  if (!match || !sentinels?.every((node) => node !== undefined)) {
    return refuse('must have the form redis[s]+sentinel://[[user]:password@]host[:port],host[:port]…/name[/database]');
  }
  const access = accessOf(match[2], refuse);
  return (
    access && {
      kind: 'sentinel',
      sentinels,
      name: match[4]!,
      db: Number(match[5] ?? 0),
      tls: match[1] === 'rediss',
      ...access,
    }
  );
}

function unixLocation(text: string, refuse: Refuse): RedisLocation | undefined {
  const match = /^unix:\/\/(?:([^@/]*)@)?(\/[^?#]+)$/.exec(text);
  if (!match) return refuse('must have the form unix://[[user]:password@]/path/to/socket');
  const path = decoded(match[2]!);
  if (path === undefined) return refuse('must give the path of the socket percent-encoded');
  const access = accessOf(match[1], refuse);
  return access && { kind: 'unix', path, ...access };
}

/** What a percent-encoded text stands for; undefined where a % is astray. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function nodeAt(text: string, defaultPort: number): RedisNode | undefined {
  const match = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/i.exec(text);
  const port = match && wholeNumber(match[3] ?? String(defaultPort), 1, 65_535);
  return match && port ? { host: (match[1] ?? match[2])!, port } : undefined;
}

function accessOf(userinfo: string | undefined, refuse: Refuse): RedisAccess | undefined {
  if (userinfo === undefined) return { username: undefined, password: undefined };
  const [username = '', password = '', ...rest] = userinfo.split(':').map(decoded);
  if (username !== undefined && password && rest.length === 0)
    return { username: username === '' ? undefined : username, password };
  return refuse('must give a user and password as user:password or :password, percent-encoded');
}

/**
 * Every variable, by its name in {@link Config}: the only place where one is told.
 * Parsing, defaults and docs/configuration.md come from here.
 */
export const variables = {
  nodeEnv: {
    name: 'NODE_ENV',
    type: oneOf('development', 'production', 'test'),
    default: 'development',
    description: 'In `production`, token keys must be given and plain HTTP origins are refused.',
  },
  logLevel: {
    name: 'LOG_LEVEL',
    type: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
    default: 'info',
    description: 'The least severe log lines that are written.',
  },
  port: {
    name: 'PORT',
    type: whole(0, 65_535),
    default: '3000',
    description: 'Port of the public listener. 0 takes any that is free.',
  },
  host: {
    name: 'HOST',
    type: address,
    default: '127.0.0.1',
    description: 'Address of the public listener. In a container, `0.0.0.0`.',
  },
  internalPort: {
    name: 'INTERNAL_PORT',
    type: whole(0, 65_535),
    default: '3001',
    description: 'Port of the internal listener. 0 takes any that is free.',
  },
  internalHost: {
    name: 'INTERNAL_HOST',
    type: address,
    default: '127.0.0.1',
    description: 'Address of the internal listener. Never let the public reach it.',
  },
  workers: {
    name: 'WORKERS',
    type: workers,
    default: '1',
    description: 'How many processes serve behind the ports; `auto` is one for each core.',
  },
  publicOrigins: {
    name: 'PUBLIC_ORIGIN',
    type: listOf('origins', origin),
    unset: 'the address listened on',
    description:
      'Where browsers reach the service, such as `https://example.com`. State-changing requests that carry our cookies must come from one of these.',
  },
  trustProxy: {
    name: 'TRUST_PROXY',
    type: listOf('IP addresses, ranges such as `10.0.0.0/8`, or `loopback`, `linklocal`, `uniquelocal`', proxy),
    unset: 'no proxy is believed',
    description:
      "The reverse proxies whose `X-Forwarded-*` headers are believed about the client's address, host and scheme.",
  },
  redis: {
    name: 'REDIS_URL',
    type: redisLocation,
    unset: 'a private redis-server of its own',
    secret: true,
    description: 'The Redis that holds all state. See [the forms of REDIS_URL](#redis_url).',
  },
  redisPrefix: {
    name: 'REDIS_PREFIX',
    type: matching('1 to 64 letters, digits and any of `_ : . -`', /^[\w:.-]{1,64}$/),
    default: 'lk:',
    description: 'Begins the name of every key, so that several applications can share a Redis.',
  },
  redisTimeoutMs: {
    name: 'REDIS_TIMEOUT',
    type: duration('1ms', '1m'),
    default: '1s',
    description: 'Deadline of a Redis command. Past it, a request is answered with 503.',
  },
  dataDirectory: {
    name: 'DATA_DIRECTORY',
    type: path,
    default: '.latchkey',
    description:
      'Holds what the service makes for itself: the data of its private Redis, and its token key outside production.',
  },
  tokenKeys: {
    name: 'TOKEN_KEYS',
    type: listOf(`secrets of at least ${MIN_TOKEN_KEY_LENGTH} characters`, tokenKey),
    unset: 'one is generated into `DATA_DIRECTORY`',
    secret: true,
    description:
      'The first signs new sessions, all are known. To roll: add the new key last everywhere, then move it first, then drop the old one.',
  },
  accessLifetimeMs: {
    name: 'ACCESS_TOKEN_LIFETIME',
    type: duration('1ms', '3650d'),
    default: '15m',
    description: 'How long an access token is good for.',
  },
  refreshLifetimeMs: {
    name: 'REFRESH_TOKEN_LIFETIME',
    type: duration('1ms', '3650d'),
    default: '30d',
    description: 'How long a refresh token is good for: the idle timeout of a session, renewed at each rotation.',
  },
  sessionLifetimeMs: {
    name: 'SESSION_LIFETIME',
    type: duration('1ms', '3650d'),
    default: '90d',
    description: 'The absolute lifetime of a session. No rotation goes beyond it.',
  },
  refreshGraceMs: {
    name: 'REFRESH_GRACE',
    type: duration('0s', '3650d'),
    default: '30s',
    description:
      'The grace period: how long after its confirmation a pair can still be fetched by the refresh token before it. Half of it is how late a message may arrive without signing anyone out.',
  },
  refreshRetryWindowMs: {
    name: 'REFRESH_RETRY_WINDOW',
    type: duration('0s', '3650d'),
    default: '24h',
    description: 'How long a refresh whose answer was lost can be repeated, as long as its pair is unconfirmed.',
  },
  sessionsPerUser: {
    name: 'SESSIONS_PER_USER',
    type: whole(1, 10_000),
    default: '100',
    description: 'Beyond it, a login ends the session that was renewed least recently.',
  },
  revocationReplicas: {
    name: 'REVOCATION_REPLICAS',
    type: whole(0, 10),
    default: '0',
    description:
      'How many replicas must have a revocation before it is acknowledged, so that a failover to one of them cannot undo it. Fewer than that many in time is a 503.',
  },
  oauthClients: {
    name: 'OAUTH_CLIENTS',
    type: listOf(
      'OAuth clients: `<id>` for a public one, `<id>:<hash of its secret>` for a confidential one',
      oauthClient,
    ),
    unset: 'there are none',
    secret: true,
    description:
      'Who may use the [OAuth endpoints](oauth.md). `npx latchkey-oauth-client <id>` makes a secret and its entry.',
  },
  oidcProviders: {
    name: 'OIDC_PROVIDERS',
    type: listOf('OpenID Connect providers: `<name> <issuer> <client id> <client secret>`', oidcProvider),
    unset: 'there are none',
    secret: true,
    description: 'With whom users can [log in](oidc.md), beside their passwords.',
  },
  adminKeys: {
    name: 'ADMIN_KEYS',
    type: listOf('API keys: `<name>:<hash of the key>:<scope>+<scope>…`', adminKey),
    unset: 'there is no admin API',
    secret: true,
    description:
      'Who may use the [admin API](admin.md). `npx latchkey-admin-key <name> <scope>…` makes a key and its entry.',
  },
  webhooks: {
    name: 'WEBHOOKS',
    type: listOf('endpoints: `<url> <secret>`, and several secrets while one is replaced', webhook),
    unset: 'there are none',
    secret: true,
    description: 'Where [events](webhooks.md) are sent to. A secret is `whsec_` and 24 to 64 random bytes in base64.',
  },
  brandName: {
    name: 'BRAND_NAME',
    type: matching('1 to 64 printable characters', /^\P{C}{1,64}$/u),
    default: 'latchkey',
    description: 'What the pages call themselves.',
  },
  brandStylesheet: {
    name: 'BRAND_STYLESHEET',
    type: existingFile,
    unset: 'the pages keep their own look',
    description:
      'A stylesheet that sets the custom properties at the head of `src/http/pages/assets/pages.css`; read at start.',
  },
  registration: {
    name: 'REGISTRATION',
    type: oneOf('open', 'closed'),
    default: 'open',
    description: 'Whether anyone can register.',
  },
  loginFailuresPerAccount: {
    name: 'LOGIN_FAILURES_PER_ACCOUNT',
    type: whole(1, 1_000_000),
    default: '10',
    description:
      'Wrong passwords for one account from one network in `LOGIN_FAILURE_WINDOW`; beyond it 429, for that network alone. A network is an IPv4 address or an IPv6 /64.',
  },
  loginFailuresPerNetwork: {
    name: 'LOGIN_FAILURES_PER_NETWORK',
    type: whole(1, 1_000_000),
    default: '100',
    description: 'Wrong passwords from one network in `LOGIN_FAILURE_WINDOW`, whatever the accounts.',
  },
  loginFailureWindowMs: {
    name: 'LOGIN_FAILURE_WINDOW',
    type: duration('1s', '30d'),
    default: '15m',
    description: 'Wrong passwords are forgotten so long after the first of them.',
  },
  registrationsPerNetwork: {
    name: 'REGISTRATIONS_PER_NETWORK',
    type: whole(1, 1_000_000),
    default: '100',
    description: 'Attempts to register from one network in an hour.',
  },
  providerLoginsPerNetwork: {
    name: 'PROVIDER_LOGINS_PER_NETWORK',
    type: whole(1, 1_000_000),
    default: '1000',
    description: 'Logins with a provider that are begun from one network in ten minutes; Redis keeps each for so long.',
  },
  recentAuthenticationMs: {
    name: 'RECENT_AUTHENTICATION',
    type: duration('0s', '3650d'),
    default: '15m',
    description:
      'How long after a login a session may change the password and end other devices; then the user logs in again. Accounts at providers are linked and unlinked within two minutes, or this if it is shorter. `0s` asks for no recent login.',
  },
  passwordMinLength: {
    name: 'PASSWORD_MIN_LENGTH',
    type: whole(8, 1_024),
    default: '15',
    description:
      'The least characters of a new password. NIST SP 800-63B-4 asks for 15 where a password is the only factor.',
  },
} as const satisfies Record<string, Variable>;

type Field = keyof typeof variables;
type Read<V extends Variable> =
  Exclude<ReturnType<V['type']['read']>, undefined> | (V extends { default: string } ? never : undefined);
type Values = { readonly [F in Field]: Read<(typeof variables)[F]> };

/** One frozen object: a value for each variable, `undefined` where one is unset and has no default, and what to warn of. */
export interface Config extends Values {
  readonly warnings: readonly string[];
}

interface Rule {
  severity: 'error' | 'warning';
  /** The rule is only asked when all of these could be read. */
  of: readonly Field[];
  says: string;
  broken: (values: Values) => boolean;
}

/** What must hold between variables; docs/configuration.md lists them. */
export const rules: readonly Rule[] = [
  {
    severity: 'error',
    of: ['adminKeys'],
    says: 'ADMIN_KEYS must not give two keys one name',
    broken: ({ adminKeys = [] }) => new Set(adminKeys.map(({ name }) => name)).size < adminKeys.length,
  },
  {
    severity: 'error',
    of: ['webhooks'],
    says: 'WEBHOOKS must not name an endpoint twice',
    broken: ({ webhooks = [] }) => new Set(webhooks.map(({ url }) => url)).size < webhooks.length,
  },
  {
    severity: 'error',
    of: ['oidcProviders'],
    says: 'OIDC_PROVIDERS must not name a provider twice',
    broken: ({ oidcProviders = [] }) => new Set(oidcProviders.map(({ name }) => name)).size < oidcProviders.length,
  },
  {
    severity: 'error',
    of: ['oauthClients'],
    says: 'OAUTH_CLIENTS must not name a client twice',
    broken: ({ oauthClients = [] }) => new Set(oauthClients.map(({ id }) => id)).size < oauthClients.length,
  },
  {
    severity: 'error',
    of: ['tokenKeys', 'nodeEnv'],
    says: 'TOKEN_KEYS must be given in production',
    broken: ({ tokenKeys, nodeEnv }) => nodeEnv === 'production' && tokenKeys === undefined,
  },
  {
    severity: 'error',
    of: ['publicOrigins', 'nodeEnv'],
    says: 'PUBLIC_ORIGIN must be https:// in production, save for localhost, 127.0.0.1 and [::1]',
    broken: ({ publicOrigins, nodeEnv }) => nodeEnv === 'production' && (publicOrigins ?? []).some(isInsecure),
  },
  {
    severity: 'warning',
    of: ['publicOrigins', 'nodeEnv'],
    says: 'PUBLIC_ORIGIN is http:// on a host that is not this one: browsers will not keep the cookies, which are Secure',
    broken: ({ publicOrigins, nodeEnv }) => nodeEnv !== 'production' && (publicOrigins ?? []).some(isInsecure),
  },
  {
    severity: 'warning',
    of: ['publicOrigins', 'nodeEnv'],
    says: 'PUBLIC_ORIGIN is not set in production: behind a proxy that ends TLS, its origin must be named',
    broken: ({ publicOrigins, nodeEnv }) => nodeEnv === 'production' && publicOrigins === undefined,
  },
  {
    severity: 'warning',
    of: ['publicOrigins', 'trustProxy'],
    says: 'TRUST_PROXY is not set although PUBLIC_ORIGIN is https://: all clients behind the proxy that ends TLS count as one network',
    broken: ({ publicOrigins, trustProxy }) =>
      trustProxy === undefined && (publicOrigins ?? []).some((origin) => origin.startsWith('https:')),
  },
  {
    severity: 'error',
    of: ['port', 'host', 'internalPort', 'internalHost'],
    says: 'INTERNAL_PORT must differ from PORT where INTERNAL_HOST and HOST are the same',
    broken: (values) => values.port !== 0 && values.port === values.internalPort && values.host === values.internalHost,
  },
  {
    severity: 'error',
    of: ['refreshGraceMs', 'accessLifetimeMs'],
    says: 'REFRESH_GRACE must be shorter than ACCESS_TOKEN_LIFETIME',
    broken: ({ refreshGraceMs, accessLifetimeMs }) => refreshGraceMs >= accessLifetimeMs,
  },
  {
    severity: 'warning',
    of: ['refreshGraceMs'],
    says: 'REFRESH_GRACE is below 5s: a late or lost answer can sign honest users out',
    broken: ({ refreshGraceMs }) => refreshGraceMs < 5 * UNIT_MS.s,
  },
  {
    severity: 'error',
    of: ['refreshRetryWindowMs', 'refreshGraceMs'],
    says: 'REFRESH_RETRY_WINDOW must not be shorter than REFRESH_GRACE',
    broken: ({ refreshRetryWindowMs, refreshGraceMs }) => refreshRetryWindowMs < refreshGraceMs,
  },
  {
    severity: 'error',
    of: ['accessLifetimeMs', 'refreshLifetimeMs'],
    says: 'ACCESS_TOKEN_LIFETIME must not be longer than REFRESH_TOKEN_LIFETIME',
    broken: ({ accessLifetimeMs, refreshLifetimeMs }) => accessLifetimeMs > refreshLifetimeMs,
  },
  {
    severity: 'error',
    of: ['refreshLifetimeMs', 'sessionLifetimeMs'],
    says: 'REFRESH_TOKEN_LIFETIME must not be longer than SESSION_LIFETIME',
    broken: ({ refreshLifetimeMs, sessionLifetimeMs }) => refreshLifetimeMs > sessionLifetimeMs,
  },
];

/**
 * Reads the environment once. An empty string counts as unset, and no variable but ours is read.
 *
 * @param env what to read, `process.env` as a rule
 * @param options.readFile how a secret's file is read, by default from the disk as UTF-8
 * @throws {ConfigError} with every problem there is, none of which tells a value
 */
export function loadConfig(
  env: NodeJS.ProcessEnv,
  { readFile = (path) => readFileSync(path, 'utf8') }: { readFile?: (path: string) => string } = {},
): Config {
  const problems: string[] = [];
  const refused = new Set<string>();
  const values: Record<string, unknown> = {};

  for (const [field, variable] of Object.entries<Variable>(variables)) {
    const refuse = (name: string) => (why: string) => {
      refused.add(field);
      problems.push(`${name} ${why}`);
      return undefined;
    };
    const text = textOf(variable, env, readFile, refuse) ?? variable.default;
    values[field] = text === undefined ? undefined : frozen(variable.type.read(text, refuse(variable.name)));
  }

  const warnings = misspelled(Object.keys(env));
  for (const { severity, of, says, broken } of rules) {
    if (of.some((field) => refused.has(field)) || !broken(values as Values)) continue;
    (severity === 'error' ? problems : warnings).push(says);
  }

  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({ ...(values as Values), warnings: Object.freeze(warnings) });
}

function textOf(
  { name, secret }: Variable,
  env: NodeJS.ProcessEnv,
  readFile: (path: string) => string,
  refuse: (name: string) => Refuse,
): string | undefined {
  const text = env[name] || undefined;
  const fileName = `${name}_FILE`;
  const path = secret && env[fileName];
  if (!path) return text;
  if (text !== undefined) return refuse(name)(`and ${fileName} are both set: give one of them`);
  try {
    return readFile(path).replace(/\r?\n$/, '') || refuse(fileName)('names a file that is empty');
  } catch (error) {
    // The message would tell the path, which is the secret itself when someone mixed up the two variables.
    return refuse(fileName)(
      `names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`,
    );
  }
}

function misspelled(names: readonly string[]): string[] {
  const ours = Object.values<Variable>(variables).flatMap(({ name, secret }) =>
    secret ? [name, `${name}_FILE`] : [name],
  );
  // PORT and HOST are too short to tell a typo from another program's variable.
  const longEnough = ours.filter((name) => name.length > 4);
  return names
    .filter((name) => !ours.includes(name))
    .flatMap((name) => {
      const meant = longEnough.find((our) => isTypo(name.toUpperCase(), our));
      return meant === undefined ? [] : [`${name} is not a variable of ours; ${meant} is`];
    });
}

/** Whether one letter too many, too few, wrong or swapped with its neighbour makes the difference, or none. */
function isTypo(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  return (x.length <= 1 && y.length <= 1) || (x.length === 2 && x === [...y].reverse().join(''));
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
