// Every default and every rule about numbers, for the plugin's options and the service's environment variables alike.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TEN_YEARS = 3_650 * DAY;

/** How long tokens and sessions are valid. Durations in milliseconds. */
export interface Lifetimes {
  /** How long an access token is valid. */
  readonly accessLifetimeMs: number;
  /** The idle timeout: a session that is not refreshed for this long ends. */
  readonly refreshLifetimeMs: number;
  /** The absolute lifetime of a session, which no refresh extends. */
  readonly sessionLifetimeMs: number;
  /** The grace period: how long after a pair was confirmed its predecessor's refresh token still fetches it. */
  readonly refreshGraceMs: number;
  /** How long a refresh whose response was lost can be retried, while its pair is unconfirmed. */
  readonly refreshRetryWindowMs: number;
}

/** How many attempts are let through. A network is an IPv4 address or an IPv6 /64. */
export interface ThrottleLimits {
  /** Wrong passwords for one account from one network within `loginFailureWindowMs`. */
  readonly loginFailuresPerAccount: number;
  /** Wrong passwords from one network within `loginFailureWindowMs`, for any accounts. */
  readonly loginFailuresPerNetwork: number;
  /** In milliseconds, rounded up to whole seconds. */
  readonly loginFailureWindowMs: number;
  /** Attempts to register from one network within an hour. */
  readonly registrationsPerNetwork: number;
  /** Provider logins started from one network within ten minutes. */
  readonly providerLoginsPerNetwork: number;
  /** Provider logins started from all networks within ten minutes. Each takes up to 3 kB in Redis for that long. */
  readonly providerLogins: number;
}

export const DEFAULT_LIFETIMES: Lifetimes = {
  accessLifetimeMs: 15 * MINUTE,
  refreshLifetimeMs: 30 * DAY,
  sessionLifetimeMs: 90 * DAY,
  refreshGraceMs: 30 * SECOND,
  refreshRetryWindowMs: 24 * HOUR,
};

export const DEFAULT_THROTTLE_LIMITS: ThrottleLimits = {
  loginFailuresPerAccount: 10,
  loginFailuresPerNetwork: 100,
  loginFailureWindowMs: 15 * MINUTE,
  registrationsPerNetwork: 100,
  providerLoginsPerNetwork: 1_000,
  providerLogins: 100_000,
};

/** Defaults of the plugin's options. */
export const DEFAULTS = {
  ...DEFAULT_LIFETIMES,
  ...DEFAULT_THROTTLE_LIMITS,
  redisPrefix: 'lk:',
  sessionsPerUser: 100,
  revocationReplicas: 0,
  registration: 'open' as 'open' | 'closed',
  /** NIST SP 800-63B-4 section 3.1.1.2 asks for 15 where a password is the only factor. */
  passwordMinLength: 15,
  workers: 1,
  recentAuthenticationMs: 15 * MINUTE,
  prefix: '/auth',
  loginPage: '/login',
};

/** The base of the cookie names. */
export const DEFAULT_COOKIE_NAME = 'latchkey';

/** Defaults of the variables that only the service has. */
export const SERVICE_DEFAULTS = {
  nodeEnv: 'development',
  logLevel: 'info',
  host: '127.0.0.1',
  port: 3000,
  internalHost: '127.0.0.1',
  internalPort: 3001,
  redisTimeoutMs: 1 * SECOND,
  dataDirectory: '.latchkey',
  brandName: 'latchkey',
};

/** In characters (code points). */
export const MAX_PASSWORD_LENGTH = 1_024;

/** The bounds of a whole number. */
export interface Range {
  readonly min: number;
  /** For environment variables only: a larger one is a typo. */
  readonly max: number;
}

/** The numbers among the plugin's options. */
export const OPTION_RANGES = {
  accessLifetimeMs: { min: 1, max: TEN_YEARS },
  refreshLifetimeMs: { min: 1, max: TEN_YEARS },
  sessionLifetimeMs: { min: 1, max: TEN_YEARS },
  refreshGraceMs: { min: 0, max: TEN_YEARS },
  refreshRetryWindowMs: { min: 0, max: TEN_YEARS },
  loginFailuresPerAccount: { min: 1, max: 1_000_000 },
  loginFailuresPerNetwork: { min: 1, max: 1_000_000 },
  loginFailureWindowMs: { min: 1 * SECOND, max: 30 * DAY },
  registrationsPerNetwork: { min: 1, max: 1_000_000 },
  providerLoginsPerNetwork: { min: 1, max: 1_000_000 },
  providerLogins: { min: 1, max: Number.MAX_SAFE_INTEGER },
  sessionsPerUser: { min: 1, max: 10_000 },
  revocationReplicas: { min: 0, max: 10 },
  passwordMinLength: { min: 8, max: MAX_PASSWORD_LENGTH },
  workers: { min: 1, max: 64 },
  recentAuthenticationMs: { min: 0, max: TEN_YEARS },
} as const satisfies Partial<Record<keyof typeof DEFAULTS, Range>>;

/** The numbers among the variables that only the service has. */
export const SERVICE_RANGES = {
  port: { min: 0, max: 65_535 },
  internalPort: { min: 0, max: 65_535 },
  redisTimeoutMs: { min: 1, max: 1 * MINUTE },
} as const satisfies Partial<Record<keyof typeof SERVICE_DEFAULTS, Range>>;

/** In characters (code points). */
export const MIN_TOKEN_KEY_LENGTH = 32;

/** A shorter `refreshGraceMs` is allowed, but the service warns about it. */
export const MIN_SAFE_GRACE_MS = 5 * SECOND;

/**
 * Maximum login age for adding or removing a login method. Short by design: users nearly always log in again for it.
 */
export const FRESH_AUTHENTICATION_MS = 2 * MINUTE;

/** What must hold between two lifetimes. */
export interface LifetimeRule {
  readonly option: keyof Lifetimes;
  readonly relation: string;
  readonly other: keyof Lifetimes;
  readonly holds: (value: number, other: number) => boolean;
}

const SHORTER = { relation: 'must be shorter than', holds: (value: number, other: number) => value < other };
const NOT_SHORTER = { relation: 'must not be shorter than', holds: (value: number, other: number) => value >= other };
const NOT_LONGER = { relation: 'must not be longer than', holds: (value: number, other: number) => value <= other };

export const LIFETIME_RULES: readonly LifetimeRule[] = [
  { option: 'refreshGraceMs', ...SHORTER, other: 'accessLifetimeMs' },
  { option: 'refreshRetryWindowMs', ...NOT_SHORTER, other: 'refreshGraceMs' },
  { option: 'accessLifetimeMs', ...NOT_LONGER, other: 'refreshLifetimeMs' },
  { option: 'refreshLifetimeMs', ...NOT_LONGER, other: 'sessionLifetimeMs' },
];

/** Whether the lifetimes satisfy a rule. */
export function satisfiesRule({ option, other, holds }: LifetimeRule, lifetimes: Lifetimes): boolean {
  return holds(lifetimes[option], lifetimes[other]);
}

/** A rule as a sentence. `nameOf` gives the name by which the reader knows an option. */
export function describeRule({ option, relation, other }: LifetimeRule, nameOf: (option: keyof Lifetimes) => string) {
  return `${nameOf(option)} ${relation} ${nameOf(other)}`;
}

/**
 * Checks the plugin's numbers, defaults filled in.
 *
 * @throws {RangeError} for the first option that is not a whole number or is too small, or that contradicts another.
 */
export function validateNumbers(options: typeof DEFAULTS): void {
  for (const [name, { min }] of Object.entries(OPTION_RANGES)) {
    const value = options[name as keyof typeof OPTION_RANGES];
    if (!Number.isSafeInteger(value) || value < min) {
      throw new RangeError(`${name} must be a whole number of at least ${min}`);
    }
  }
  for (const rule of LIFETIME_RULES) {
    if (!satisfiesRule(rule, options)) throw new RangeError(describeRule(rule, (option) => option));
  }
}

/** Whether a token key has at least {@link MIN_TOKEN_KEY_LENGTH} characters. */
export function isTokenKeyLongEnough(key: string): boolean {
  return [...key].length >= MIN_TOKEN_KEY_LENGTH;
}

/** The default cookie name for a route prefix. Two instances in one app, under two prefixes, get different cookies. */
export function defaultCookieName(prefix: string): string {
  const words = prefix === DEFAULTS.prefix ? [] : prefix.split(/[^\w]+/).filter(Boolean);
  return [DEFAULT_COOKIE_NAME, ...words].join('-');
}

/** Whether a URL's hostname names this machine, where nobody else can read plain HTTP. */
export function isLoopbackHost(hostname: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}
