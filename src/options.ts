// Defaults and ranges of the plugin's options and of the service's environment variables.

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
  /**
   * Grace period: how long the previous refresh token still returns the new pair after the new pair was confirmed, and
   * how long the previous access token stays valid after a rotation.
   */
  readonly refreshGraceMs: number;
  /** How long a refresh can be retried if its response was lost, that is, while the new pair is unconfirmed. */
  readonly refreshRetryWindowMs: number;
}

/** Limits on login and registration attempts. A network is an IPv4 address or an IPv6 /64. */
export interface ThrottleLimits {
  /** Wrong passwords for one username from one network within `loginFailureWindowMs`. */
  readonly loginFailuresPerAccount: number;
  /** Wrong passwords from one network within `loginFailureWindowMs`, for any username. */
  readonly loginFailuresPerNetwork: number;
  /** How long after the first failure the counters are reset, in milliseconds, rounded up to whole seconds. */
  readonly loginFailureWindowMs: number;
  /** Attempts to register from one network within an hour. */
  readonly registrationsPerNetwork: number;
  /** Provider logins started from one network within ten minutes. */
  readonly providerLoginsPerNetwork: number;
  /**
   * Provider logins started from all networks within ten minutes. Each uses up to 3 kB of Redis memory for that long.
   * The service has no environment variable for it.
   */
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
  /** NIST SP 800-63B-4 section 3.1.1.2 requires 15 if the password is the only factor. */
  passwordMinLength: 15,
  workers: 1,
  recentAuthenticationMs: 15 * MINUTE,
  prefix: '/auth',
  loginPage: '/login',
};

/** The base of the cookie names. */
export const DEFAULT_COOKIE_NAME = 'latchkey';

/** Defaults of the environment variables that have no plugin option. */
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

/** An inclusive range of whole numbers. */
export interface Range {
  readonly min: number;
  /** Checked for environment variables only, where a larger number is probably a typing error. */
  readonly max: number;
}

/** Ranges of the numeric plugin options. */
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

/** Ranges of the environment variables that have no plugin option. */
export const SERVICE_RANGES = {
  port: { min: 0, max: 65_535 },
  internalPort: { min: 0, max: 65_535 },
  redisTimeoutMs: { min: 1, max: 1 * MINUTE },
} as const satisfies Partial<Record<keyof typeof SERVICE_DEFAULTS, Range>>;

/** In characters (code points). */
export const MIN_TOKEN_KEY_LENGTH = 32;

/** The service warns if `refreshGraceMs` is shorter. */
export const MIN_SAFE_GRACE_MS = 5 * SECOND;

/**
 * Maximum login age for adding or removing a login method. Deliberately short: users usually have to log in again.
 */
export const FRESH_AUTHENTICATION_MS = 2 * MINUTE;

/** A constraint between two lifetimes. */
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

export function satisfiesRule({ option, other, holds }: LifetimeRule, lifetimes: Lifetimes): boolean {
  return holds(lifetimes[option], lifetimes[other]);
}

/** Describes a rule in a sentence. `nameOf` returns the name to print for an option. */
export function describeRule({ option, relation, other }: LifetimeRule, nameOf: (option: keyof Lifetimes) => string) {
  return `${nameOf(option)} ${relation} ${nameOf(other)}`;
}

/**
 * Validates the numeric plugin options and their lifetime rules, after defaults have been filled in.
 *
 * @throws {RangeError} for the first option that is not a whole number or is too small, or the first rule
 *   that is not satisfied.
 */
export function validateNumbers(options: typeof DEFAULTS): void {
  for (const [name, { min }] of Object.entries(OPTION_RANGES)) {
    requireAtLeast(name, options[name as keyof typeof OPTION_RANGES], min);
  }
  for (const rule of LIFETIME_RULES) {
    if (!satisfiesRule(rule, options)) throw new RangeError(describeRule(rule, (option) => option));
  }
}

/** @throws {RangeError} if a value is not a whole number or is below the minimum. The message contains the name. */
export function requireAtLeast(name: string, value: number, minimum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new RangeError(`${name} must be a whole number of at least ${minimum}`);
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

/** Whether a URL's hostname is a loopback address, to which plain HTTP is safe. */
export function isLoopbackHost(hostname: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
}
