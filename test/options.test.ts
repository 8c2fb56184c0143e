import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import * as options from '../src/options.js';

const DAY = 86_400_000;

/** Every exported value of src/options.ts, written out: a changed or new one fails here until it is meant. */
const PINNED: Record<string, unknown> = {
  DEFAULT_LIFETIMES: {
    accessLifetimeMs: 900_000,
    refreshLifetimeMs: 30 * DAY,
    sessionLifetimeMs: 90 * DAY,
    refreshGraceMs: 30_000,
    refreshRetryWindowMs: DAY,
  },
  DEFAULT_THROTTLE_LIMITS: {
    loginFailuresPerAccount: 10,
    loginFailuresPerNetwork: 100,
    loginFailureWindowMs: 900_000,
    registrationsPerNetwork: 100,
    providerLoginsPerNetwork: 1_000,
    providerLogins: 100_000,
  },
  DEFAULTS: {
    accessLifetimeMs: 900_000,
    refreshLifetimeMs: 30 * DAY,
    sessionLifetimeMs: 90 * DAY,
    refreshGraceMs: 30_000,
    refreshRetryWindowMs: DAY,
    loginFailuresPerAccount: 10,
    loginFailuresPerNetwork: 100,
    loginFailureWindowMs: 900_000,
    registrationsPerNetwork: 100,
    providerLoginsPerNetwork: 1_000,
    providerLogins: 100_000,
    redisPrefix: 'lk:',
    sessionsPerUser: 100,
    revocationReplicas: 0,
    registration: 'open',
    passwordMinLength: 15,
    workers: 1,
    recentAuthenticationMs: 900_000,
    prefix: '/auth',
    loginPage: '/login',
  },
  DEFAULT_COOKIE_NAME: 'latchkey',
  SERVICE_DEFAULTS: {
    nodeEnv: 'development',
    logLevel: 'info',
    host: '127.0.0.1',
    port: 3000,
    internalHost: '127.0.0.1',
    internalPort: 3001,
    redisTimeoutMs: 1_000,
    dataDirectory: '.latchkey',
    brandName: 'latchkey',
  },
  MAX_PASSWORD_LENGTH: 1_024,
  OPTION_RANGES: {
    accessLifetimeMs: { min: 1, max: 3_650 * DAY },
    refreshLifetimeMs: { min: 1, max: 3_650 * DAY },
    sessionLifetimeMs: { min: 1, max: 3_650 * DAY },
    refreshGraceMs: { min: 0, max: 3_650 * DAY },
    refreshRetryWindowMs: { min: 0, max: 3_650 * DAY },
    loginFailuresPerAccount: { min: 1, max: 1_000_000 },
    loginFailuresPerNetwork: { min: 1, max: 1_000_000 },
    loginFailureWindowMs: { min: 1_000, max: 30 * DAY },
    registrationsPerNetwork: { min: 1, max: 1_000_000 },
    providerLoginsPerNetwork: { min: 1, max: 1_000_000 },
    providerLogins: { min: 1, max: Number.MAX_SAFE_INTEGER },
    sessionsPerUser: { min: 1, max: 10_000 },
    revocationReplicas: { min: 0, max: 10 },
    passwordMinLength: { min: 8, max: 1_024 },
    workers: { min: 1, max: 64 },
    recentAuthenticationMs: { min: 0, max: 3_650 * DAY },
  },
  SERVICE_RANGES: {
    port: { min: 0, max: 65_535 },
    internalPort: { min: 0, max: 65_535 },
    redisTimeoutMs: { min: 1, max: 60_000 },
  },
  MIN_TOKEN_KEY_LENGTH: 32,
  MIN_SAFE_GRACE_MS: 5_000,
  FRESH_AUTHENTICATION_MS: 120_000,
};

/** Pinned by the test of what they accept. */
const RULES = ['LIFETIME_RULES'];

const exported = Object.fromEntries(Object.entries(options).filter(([, value]) => typeof value !== 'function'));

t.test('every default and bound has its literal value', async (t) => {
  for (const [name, value] of Object.entries(PINNED)) t.strictSame(exported[name], value, name);
});

t.test('every exported default and bound is pinned, down to each value in it', async (t) => {
  t.same(new Set(Object.keys(exported)), new Set([...Object.keys(PINNED), ...RULES]));
  let changes = 0;
  for (const name of Object.keys(PINNED)) {
    for (const changed of changedCopies(exported[name])) {
      changes++;
      t.notOk(isDeepStrictEqual(changed, PINNED[name]), `a change in ${name} is noticed`);
    }
  }
  t.ok(changes > 80, `${changes} changes are noticed`);
});

t.test('a lifetime rule accepts its boundary and refuses the millisecond beyond it', async (t) => {
  const ruleSentences = options.LIFETIME_RULES.map((rule) => options.describeRule(rule, (option) => `<${option}>`));
  t.strictSame(ruleSentences, [
    '<refreshGraceMs> must be shorter than <accessLifetimeMs>',
    '<refreshRetryWindowMs> must not be shorter than <refreshGraceMs>',
    '<accessLifetimeMs> must not be longer than <refreshLifetimeMs>',
    '<refreshLifetimeMs> must not be longer than <sessionLifetimeMs>',
  ]);
  const lifetimes = { ...options.DEFAULT_LIFETIMES, refreshGraceMs: 899_999 };
  const cases: [Partial<options.Lifetimes>, boolean[]][] = [
    [{}, [true, true, true, true]],
    [{ refreshGraceMs: 900_000 }, [false, true, true, true]],
    [{ refreshRetryWindowMs: 899_999 }, [true, true, true, true]],
    [{ refreshRetryWindowMs: 899_998 }, [true, false, true, true]],
    [{ refreshLifetimeMs: 900_000 }, [true, true, true, true]],
    [{ refreshLifetimeMs: 899_999 }, [true, true, false, true]],
    [{ sessionLifetimeMs: 30 * DAY }, [true, true, true, true]],
    [{ sessionLifetimeMs: 30 * DAY - 1 }, [true, true, true, false]],
  ];
  for (const [change, expected] of cases) {
    const holds = options.LIFETIME_RULES.map((rule) => options.satisfiesRule(rule, { ...lifetimes, ...change }));
    t.strictSame(holds, expected, JSON.stringify(change));
  }
});

t.test('every default number is within its range', async (t) => {
  const defaults: Record<string, unknown> = { ...options.DEFAULTS, ...options.SERVICE_DEFAULTS };
  const ranges: Record<string, options.Range> = { ...options.OPTION_RANGES, ...options.SERVICE_RANGES };
  const numbers = Object.entries(defaults).filter(([, value]) => typeof value === 'number');
  t.same(new Set(Object.keys(ranges)), new Set(numbers.map(([name]) => name)), 'every number has a range');
  for (const [name, value] of numbers) {
    t.ok((value as number) >= ranges[name]!.min && (value as number) <= ranges[name]!.max, name);
  }
});

t.test('checkNumbers refuses a number below its minimum, and what is not a whole number', async (t) => {
  for (const [name, { min }] of Object.entries(options.OPTION_RANGES)) {
    for (const value of [min - 1, min + 0.5, NaN, Infinity, `${min}`, null]) {
      const message = `${name} must be a whole number of at least ${min}`;
      t.throws(() => options.validateNumbers({ ...options.DEFAULTS, [name]: value }), { name: 'RangeError', message });
    }
  }
  const { refreshRetryWindowMs, refreshGraceMs } = { refreshRetryWindowMs: 0, refreshGraceMs: 0 };
  t.doesNotThrow(() => options.validateNumbers({ ...options.DEFAULTS, refreshRetryWindowMs, refreshGraceMs }));
});

t.test('a token key is long enough from 32 characters on, not code units', async (t) => {
  t.ok(options.isTokenKeyLongEnough('k'.repeat(32)));
  t.notOk(options.isTokenKeyLongEnough('k'.repeat(31)));
  t.notOk(options.isTokenKeyLongEnough('🔑'.repeat(31)));
});

t.test('the default cookie name tells route prefixes apart', async (t) => {
  t.equal(options.defaultCookieName('/auth'), 'latchkey');
  t.equal(options.defaultCookieName('/staff/auth'), 'latchkey-staff-auth');
});

/** A copy of a value for each of its leaves, with that leaf changed, and one with a leaf more for each object. */
function* changedCopies(value: unknown): Generator<unknown> {
  if (typeof value !== 'object' || value === null) {
    yield typeof value === 'number' ? value - 1 : `${String(value)}x`;
    return;
  }
  yield { ...value, another: 1 };
  for (const [name, part] of Object.entries(value)) {
    for (const changed of changedCopies(part)) yield { ...value, [name]: changed };
  }
}
