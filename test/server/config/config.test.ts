import { availableParallelism } from 'node:os';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Config, ConfigError, loadConfig } from '../../../src/server/config/config.js';

const KEY = 'k'.repeat(32);
const OTHER_KEY = 'o'.repeat(40);
const HASH = 'h'.repeat(43);
const SECRET = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;

function problemsOf(env: NodeJS.ProcessEnv, readFile?: (path: string) => string): readonly string[] {
  try {
    loadConfig(env, readFile && { readFile });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

t.test('WORKERS is a number of processes, or one for each core', async (t) => {
  t.equal(loadConfig({ WORKERS: '4' }).workers, 4);
  t.equal(loadConfig({ WORKERS: 'auto' }).workers, availableParallelism());
  t.strictSame(problemsOf({ WORKERS: 'many' }), ['WORKERS must be a whole number, 1 to 64, or auto']);
  t.strictSame(problemsOf({ WORKERS: '0' }), ['WORKERS must be a whole number, 1 to 64, or auto']);
});

t.test('an empty environment gives the defaults and nothing to warn of', async (t) => {
  t.same(loadConfig({}), {
    nodeEnv: 'development',
    logLevel: 'info',
    port: 3000,
    host: '127.0.0.1',
    internalPort: 3001,
    internalHost: '127.0.0.1',
    workers: 1,
    publicOrigins: undefined,
    trustProxy: undefined,
    redis: undefined,
    redisPrefix: 'lk:',
    redisTimeoutMs: 1_000,
    dataDirectory: '.latchkey',
    tokenKeys: undefined,
    accessLifetimeMs: 15 * 60_000,
    refreshLifetimeMs: 30 * 86_400_000,
    sessionLifetimeMs: 90 * 86_400_000,
    refreshGraceMs: 30_000,
    refreshRetryWindowMs: 86_400_000,
    sessionsPerUser: 100,
    revocationReplicas: 0,
    oauthClients: undefined,
    adminKeys: undefined,
    oidcProviders: undefined,
    webhooks: undefined,
    brandName: 'latchkey',
    brandStylesheet: undefined,
    registration: 'open',
    loginFailuresPerAccount: 10,
    loginFailuresPerNetwork: 100,
    loginFailureWindowMs: 15 * 60_000,
    registrationsPerNetwork: 100,
    providerLoginsPerNetwork: 1_000,
    recentAuthenticationMs: 15 * 60_000,
    passwordMinLength: 15,
    warnings: [],
  } satisfies Config);
});

t.test('an empty string counts as unset', async (t) => {
  t.same(
    loadConfig({ PORT: '', REDIS_URL: '', TOKEN_KEYS: '', TOKEN_KEYS_FILE: '', REGISTRATION: '' }),
    loadConfig({}),
  );
});

t.test('what is given is read', async (t) => {
  const config = loadConfig({
    NODE_ENV: 'production',
    LOG_LEVEL: 'silent',
    PORT: '0',
    HOST: '::1',
    PUBLIC_ORIGIN: 'https://Example.com:443/, https://example.org:8443,http://localhost:3000,http://[::1]',
    TRUST_PROXY: 'loopback, 10.0.0.0/8,192.0.2.1,fd00::/8,2001:db8::1',
    REDIS_PREFIX: 'shop:',
    REDIS_TIMEOUT: '250ms',
    DATA_DIRECTORY: '/var/lib/latchkey',
    TOKEN_KEYS: `${KEY}, ${OTHER_KEY}`,
    ACCESS_TOKEN_LIFETIME: '2m',
    REFRESH_TOKEN_LIFETIME: '24h',
    SESSION_LIFETIME: '7d',
    REFRESH_GRACE: '5s',
    OAUTH_CLIENTS: `spa,backend:${HASH}`,
    ADMIN_KEYS: `ops:${HASH}:sessions:read+users:write`,
    WEBHOOKS: `https://hooks.example.com/latchkey ${SECRET}`,
    OIDC_PROVIDERS: 'corp https://id.example.com/realm latchkey a-secret, local http://localhost:4000 latchkey other',
    REGISTRATION: 'closed',
    PASSWORD_MIN_LENGTH: '8',
  });
  t.match(config, {
    nodeEnv: 'production',
    logLevel: 'silent',
    port: 0,
    host: '::1',
    publicOrigins: ['https://example.com', 'https://example.org:8443', 'http://localhost:3000', 'http://[::1]'],
    trustProxy: ['loopback', '10.0.0.0/8', '192.0.2.1', 'fd00::/8', '2001:db8::1'],
    redisPrefix: 'shop:',
    redisTimeoutMs: 250,
    dataDirectory: '/var/lib/latchkey',
    tokenKeys: [KEY, OTHER_KEY],
    accessLifetimeMs: 120_000,
    refreshLifetimeMs: 86_400_000,
    sessionLifetimeMs: 604_800_000,
    refreshGraceMs: 5_000,
    oauthClients: [
      { id: 'spa', secretHash: undefined },
      { id: 'backend', secretHash: HASH },
    ],
    adminKeys: [{ name: 'ops', digest: HASH, scopes: ['sessions:read', 'users:write'] }],
    webhooks: [{ url: 'https://hooks.example.com/latchkey', secrets: [SECRET] }],
    oidcProviders: [
      { name: 'corp', issuer: 'https://id.example.com/realm', clientId: 'latchkey', clientSecret: 'a-secret' },
      { name: 'local', issuer: 'http://localhost:4000', clientId: 'latchkey', clientSecret: 'other' },
    ],
    registration: 'closed',
    passwordMinLength: 8,
  });
  t.same(config.warnings, []);
});

t.test('the configuration is frozen to the bottom', async (t) => {
  const config = loadConfig({ TOKEN_KEYS: KEY, REDIS_URL: 'redis://a,redis://b', OAUTH_CLIENTS: 'spa' });
  t.ok(Object.isFrozen(config));
  t.ok(Object.isFrozen(config.warnings));
  t.ok(Object.isFrozen(config.tokenKeys));
  t.ok(Object.isFrozen(config.oauthClients?.[0]));
  t.ok(config.redis?.kind === 'cluster' && Object.isFrozen(config.redis.nodes[0]));
});

t.test('all problems are told at once, each naming its variable', async (t) => {
  const env = {
    NODE_ENV: 'prod',
    LOG_LEVEL: 'verbose',
    PORT: '65536',
    HOST: 'a b',
    INTERNAL_PORT: '-1',
    PUBLIC_ORIGIN: 'example.com',
    TRUST_PROXY: 'true',
    REDIS_URL: 'http://localhost',
    REDIS_PREFIX: 'lk{a}',
    REDIS_TIMEOUT: '1',
    TOKEN_KEYS: 'short',
    ACCESS_TOKEN_LIFETIME: '15 m',
    REFRESH_TOKEN_LIFETIME: '-1d',
    SESSION_LIFETIME: '4000d',
    REFRESH_GRACE: '1.5s',
    REFRESH_RETRY_WINDOW: 'soon',
    SESSIONS_PER_USER: '0',
    REVOCATION_REPLICAS: '11',
    OAUTH_CLIENTS: 'a b',
    ADMIN_KEYS: 'ops',
    WEBHOOKS: 'ftp://example.com',
    BRAND_NAME: 'a\nb',
    BRAND_STYLESHEET: '/nowhere/brand.css',
    REGISTRATION: 'yes',
    LOGIN_FAILURES_PER_ACCOUNT: '1e3',
    LOGIN_FAILURES_PER_NETWORK: '0x10',
    LOGIN_FAILURE_WINDOW: '1ms',
    REGISTRATIONS_PER_NETWORK: '',
    PROVIDER_LOGINS_PER_NETWORK: '',
    RECENT_AUTHENTICATION: '4000d',
    PASSWORD_MIN_LENGTH: '7',
  };
  const problems = problemsOf(env);
  const wrong = Object.entries(env).filter(([, value]) => value !== '');
  t.same(
    problems.map((problem) => problem.split(' ')[0]),
    wrong.map(([name]) => name),
  );

  t.throws(() => loadConfig(env), {
    name: 'ConfigError',
    code: 'invalid_configuration',
    message: ['The configuration is not valid:', ...problems].join('\n- '),
    problems,
  });
});

t.test('no problem tells a value', async (t) => {
  const canary = 'canary';
  const names = [
    'TOKEN_KEYS',
    'REDIS_URL',
    'PUBLIC_ORIGIN',
    'TRUST_PROXY',
    'PORT',
    'REGISTRATION',
    'ADMIN_KEYS',
    'OAUTH_CLIENTS',
    'WEBHOOKS',
  ];
  for (const value of [
    canary,
    `redis://:${canary}@h:0`,
    `https://u:${canary}@a.example`,
    `x:${canary}`,
    `https://h ${canary}`,
    `${canary},${canary}`,
  ]) {
    for (const name of names) {
      const problems = problemsOf({ [name]: value });
      if (name !== 'OAUTH_CLIENTS') t.not(problems.length, 0, `${name} is refused`);
      t.notMatch(problems.join('\n'), canary);
    }
  }
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: `/nowhere/${canary}` }), [
    'TOKEN_KEYS_FILE names a file that cannot be read (ENOENT)',
  ]);
});

t.test('a secret can be read from a file', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-config-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'token_keys');
  writeFileSync(path, `${KEY},${OTHER_KEY}\n`);
  t.same(loadConfig({ TOKEN_KEYS_FILE: path }).tokenKeys, [KEY, OTHER_KEY]);

  const files: Record<string, string> = { url: 'redis://:a%20b@h\r\n', spaces: '', newline: '\n', short: 'short\n' };
  const readFile = (name: string) => {
    const text = files[name];
    if (text === undefined) throw new Error(`no ${name}`);
    return text;
  };
  t.match(loadConfig({ REDIS_URL_FILE: 'url' }, { readFile }).redis, { host: 'h', password: 'a b' });
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'newline' }, readFile), ['TOKEN_KEYS_FILE names a file that is empty']);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'spaces' }, readFile), ['TOKEN_KEYS_FILE names a file that is empty']);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'gone' }, readFile), [
    'TOKEN_KEYS_FILE names a file that cannot be read (unknown error)',
  ]);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'short' }, readFile), [
    'TOKEN_KEYS entry 1 must have at least 32 characters',
  ]);
  t.strictSame(problemsOf({ TOKEN_KEYS: KEY, TOKEN_KEYS_FILE: 'url' }, readFile), [
    'TOKEN_KEYS and TOKEN_KEYS_FILE are both set: give one of them',
  ]);
  t.strictSame(
    problemsOf({ NODE_ENV: 'production', TOKEN_KEYS_FILE: 'gone', PUBLIC_ORIGIN: 'https://a.example' }, readFile)
      .length,
    1,
  );
  t.same(loadConfig({ PORT_FILE: 'url' }, { readFile }), loadConfig({}), 'and nothing else');
});

t.test('BRAND_STYLESHEET names a file that is there', async (t) => {
  const stylesheet = join(import.meta.dirname, '../../../src/http/pages/assets/pages.css');
  t.equal(loadConfig({ BRAND_STYLESHEET: stylesheet }).brandStylesheet, stylesheet);
  t.strictSame(problemsOf({ BRAND_STYLESHEET: `${stylesheet}.old` }), [
    'BRAND_STYLESHEET names a file that is not there',
  ]);
});

t.test('REDIS_URL', async (t) => {
  const locationOf = (url: string) => loadConfig({ REDIS_URL: url }).redis;
  const open = { username: undefined, password: undefined };
  const plain = { ...open, tls: false };

  t.test('names one server', async (t) => {
    t.strictSame(locationOf('redis://localhost'), {
      kind: 'standalone',
      host: 'localhost',
      port: 6379,
      db: 0,
      ...plain,
    });
    t.strictSame(locationOf('redis://[::1]:7000/2'), { kind: 'standalone', host: '::1', port: 7000, db: 2, ...plain });
    t.strictSame(locationOf('redis://h/'), { kind: 'standalone', host: 'h', port: 6379, db: 0, ...plain });
    t.strictSame(locationOf('rediss://app:p%40ss,%3A%2F@redis.example.com:6380'), {
      kind: 'standalone',
      host: 'redis.example.com',
      port: 6380,
      db: 0,
      tls: true,
      username: 'app',
      password: 'p@ss,:/',
    });
  });

  t.test('names a socket', async (t) => {
    t.strictSame(locationOf('unix:///run/redis.sock'), { kind: 'unix', path: '/run/redis.sock', ...open });
    t.strictSame(locationOf('unix:///run/a%23b%3Fc%25/redis.sock'), {
      kind: 'unix',
      path: '/run/a#b?c%/redis.sock',
      ...open,
    });
    t.strictSame(locationOf('unix://:secret@/run/redis.sock'), {
      kind: 'unix',
      path: '/run/redis.sock',
      username: undefined,
      password: 'secret',
    });
  });

  t.test('names Sentinels', async (t) => {
    t.strictSame(locationOf('redis+sentinel://a:1,b,[::1]:2/mymaster'), {
      kind: 'sentinel',
      sentinels: [
        { host: 'a', port: 1 },
        { host: 'b', port: 26_379 },
        { host: '::1', port: 2 },
      ],
      name: 'mymaster',
      db: 0,
      ...plain,
    });
    t.strictSame(locationOf('rediss+sentinel://app:secret@a/main/3'), {
      kind: 'sentinel',
      sentinels: [{ host: 'a', port: 26_379 }],
      name: 'main',
      db: 3,
      tls: true,
      username: 'app',
      password: 'secret',
    });
  });

  t.test('names nodes of a Cluster', async (t) => {
    t.strictSame(locationOf('redis://a:1,redis://b:2'), {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      ...plain,
    });
    t.strictSame(locationOf('rediss://:p@a,rediss://:p@b/0'), {
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 6379 },
      ],
      tls: true,
      username: undefined,
      password: 'p',
    });
  });

  t.test('is refused otherwise', async (t) => {
    for (const url of [
      'localhost:6379',
      'redis://',
      'redis://h:0',
      'redis://h:65536',
      'redis://h:x',
      'redis://h/name',
      'redis://h?db=1',
      'redis://[h]',
      'redis://a,b',
      'redis://user@h',
      'redis://user:@h',
      'redis://a:b:c@h',
      'redis://:%zz@h',
      'redis://@h',
      'redis://a,redis://:p@b',
      'redis://a,rediss://b',
      'redis://a,redis://b/1',
      'redis://a,redis://b:x',
      'redis://:%@a,redis://b',
      'redis+sentinel://a',
      'redis+sentinel://a/',
      'redis+sentinel://a:x/name',
      'redis+sentinel://a,/name',
      'redis+sentinel://u@a/name',
      'redis+sentinel://a/name/x',
      'unix:/run/redis.sock',
      'unix:///run/%zz',
      'unix://run/redis.sock',
      'unix://u@/run/redis.sock',
      'unix:///run/redis.sock?db=1',
    ]) {
      t.match(problemsOf({ REDIS_URL: url }), [/^REDIS_URL must /], url);
    }
  });
});

t.test('PUBLIC_ORIGIN takes origins and nothing more', async (t) => {
  for (const value of [
    'example.com',
    'https:example.com',
    'https://',
    'https://example.com/app',
    'https://example.com?',
    'https://example.com#',
    'https://user@example.com',
    'https://*.example.com',
    'https://example.com:99999',
    'ftp://example.com',
    'null',
  ]) {
    t.match(problemsOf({ PUBLIC_ORIGIN: value }), [/^PUBLIC_ORIGIN entry 1 must be an origin/], value);
  }
  t.strictSame(problemsOf({ PUBLIC_ORIGIN: 'https://a.example,,https://A.example/' }), [
    'PUBLIC_ORIGIN entry 2 is empty',
    'PUBLIC_ORIGIN entry 3 repeats another',
  ]);
});

t.test('a plain HTTP origin is refused in production and warned of elsewhere, save for this machine', async (t) => {
  const production = { NODE_ENV: 'production', TOKEN_KEYS: KEY };
  for (const origin of ['http://localhost:3000', 'http://127.0.0.1', 'http://[::1]:8080']) {
    t.same(loadConfig({ PUBLIC_ORIGIN: origin }).warnings, []);
    t.same(loadConfig({ ...production, PUBLIC_ORIGIN: origin }).warnings, []);
  }
  const PUBLIC_ORIGIN = 'https://a.example,http://b.example';
  t.match(loadConfig({ PUBLIC_ORIGIN, TRUST_PROXY: 'loopback' }).warnings, [/^PUBLIC_ORIGIN is http:/]);
  t.match(problemsOf({ ...production, PUBLIC_ORIGIN }), [/^PUBLIC_ORIGIN must be https:/]);
  t.match(loadConfig(production).warnings, [/^PUBLIC_ORIGIN is not set in production/]);
  t.match(loadConfig({ PUBLIC_ORIGIN: 'https://a.example' }).warnings, [
    /^TRUST_PROXY is not set although PUBLIC_ORIGIN is https:/,
  ]);
  t.same(loadConfig({ PUBLIC_ORIGIN: 'https://a.example', TRUST_PROXY: '10.0.0.1' }).warnings, []);
});

t.test('TRUST_PROXY names proxies', async (t) => {
  for (const value of [
    'true',
    'false',
    '1',
    'proxy.example.com',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '10.0.0',
    'fe80::1%eth0',
  ]) {
    t.match(problemsOf({ TRUST_PROXY: value }), [/^TRUST_PROXY entry 1 must /], value);
  }
});

t.test('TOKEN_KEYS are long enough, differ, and must be given in production', async (t) => {
  t.strictSame(problemsOf({ TOKEN_KEYS: `${KEY},${'s'.repeat(31)},${KEY},${'🔑'.repeat(16)}` }), [
    'TOKEN_KEYS entry 2 must have at least 32 characters',
    'TOKEN_KEYS entry 3 repeats another',
    'TOKEN_KEYS entry 4 must have at least 32 characters',
  ]);
  t.strictSame(problemsOf({ NODE_ENV: 'production', PUBLIC_ORIGIN: 'https://a.example' }), [
    'TOKEN_KEYS must be given in production',
  ]);
});

t.test('providers have their form and are named once', async (t) => {
  for (const entry of [
    'corp',
    'corp https://a.example id',
    'corp https://a.example id secret more',
    'c/orp https://a.example id secret',
  ]) {
    t.match(problemsOf({ OIDC_PROVIDERS: entry }), [/^OIDC_PROVIDERS entry 1 must be a name/], entry);
  }
  for (const issuer of ['http://a.example', 'a.example', 'https://a.example?b', 'https://u:p@a.example', 'https://[']) {
    t.match(
      problemsOf({ OIDC_PROVIDERS: `corp ${issuer} id secret` }),
      [/^OIDC_PROVIDERS entry 1 must have an https/],
      issuer,
    );
  }
  t.same(problemsOf({ OIDC_PROVIDERS: 'a https://a.example id s,a https://b.example id s' }), [
    'OIDC_PROVIDERS must not name a provider twice',
  ]);
});

t.test('clients, API keys and webhooks have their form and are named once', async (t) => {
  t.match(problemsOf({ OAUTH_CLIENTS: `spa,spa:${HASH}` }), ['OAUTH_CLIENTS must not name a client twice']);
  t.match(problemsOf({ ADMIN_KEYS: `ops:${HASH}:users:read,ops:${'i'.repeat(43)}:users:read` }), [
    'ADMIN_KEYS must not give two keys one name',
  ]);
  t.match(problemsOf({ ADMIN_KEYS: `ops:${HASH}:everything` }), [/^ADMIN_KEYS entry 1 must have scopes out of/]);
  t.match(problemsOf({ WEBHOOKS: `https://a.example ${SECRET},https://A.example/ ${SECRET}` }), [
    'WEBHOOKS must not name an endpoint twice',
  ]);
  for (const url of ['https://user:pass@a.example', 'https://a.example:x/', 'https://', 'a.example']) {
    t.match(problemsOf({ WEBHOOKS: `${url} ${SECRET}` }), [/^WEBHOOKS entry 1 must begin with/], url);
  }
  t.match(problemsOf({ WEBHOOKS: `https://u:p@a.example ${SECRET}` }), [/^WEBHOOKS entry 1 must begin with/]);
  for (const secrets of [
    '',
    ' whsec_',
    ' whsec_AAAA',
    ` ${SECRET} AAAA`,
    ` whsec_${Buffer.alloc(65).toString('base64')}`,
  ]) {
    t.match(problemsOf({ WEBHOOKS: `https://a.example${secrets}` }), [/^WEBHOOKS entry 1 must have/], secrets);
  }
});

t.test('durations and listeners agree with one another', async (t) => {
  const lifetimes = (ACCESS_TOKEN_LIFETIME: string, REFRESH_TOKEN_LIFETIME: string, SESSION_LIFETIME: string) =>
    problemsOf({ ACCESS_TOKEN_LIFETIME, REFRESH_TOKEN_LIFETIME, SESSION_LIFETIME });
  t.same(lifetimes('1h', '1h', '1h'), []);
  t.match(lifetimes('2h', '1h', '3h'), [/^ACCESS_TOKEN_LIFETIME must not be longer/]);
  t.match(lifetimes('1h', '3h', '2h'), [/^REFRESH_TOKEN_LIFETIME must not be longer/]);

  t.match(problemsOf({ REFRESH_GRACE: '15m' }), [/^REFRESH_GRACE must be shorter/]);
  t.same(problemsOf({ REFRESH_GRACE: '899s' }), []);
  t.match(problemsOf({ REFRESH_RETRY_WINDOW: '29s' }), [/^REFRESH_RETRY_WINDOW must not be shorter/]);
  t.match(
    problemsOf({ ACCESS_TOKEN_LIFETIME: 'x', REFRESH_GRACE: '15m' }),
    [/^ACCESS_TOKEN_LIFETIME must be a duration/],
    'only what could be read is compared',
  );

  t.match(loadConfig({ REFRESH_GRACE: '0s' }).warnings, [/^REFRESH_GRACE is below 5s/]);
  t.match(loadConfig({ REFRESH_GRACE: '4999ms' }).warnings, [/^REFRESH_GRACE is below 5s/]);

  t.match(problemsOf({ PORT: '3001' }), [/^INTERNAL_PORT must differ/]);
  t.same(problemsOf({ PORT: '3001', HOST: '192.0.2.1' }), []);
  t.same(problemsOf({ PORT: '0', INTERNAL_PORT: '0' }), []);
});

t.test('a misspelled variable is warned of, and its value is not read', async (t) => {
  const meant = {
    ACCESS_TOKEN_LIFETME: 'ACCESS_TOKEN_LIFETIME',
    ACCESS_TOKEN_LIFFETIME: 'ACCESS_TOKEN_LIFETIME',
    ACCESS_TOKEN_LIFETIMR: 'ACCESS_TOKEN_LIFETIME',
    ACCESS_TOKNE_LIFETIME: 'ACCESS_TOKEN_LIFETIME',
    TOKEN_KEY: 'TOKEN_KEYS',
    TOKEN_KEY_FILE: 'TOKEN_KEYS_FILE',
    redis_url: 'REDIS_URL',
  };
  for (const [name, ours] of Object.entries(meant)) {
    t.same(loadConfig({ [name]: 'x' }).warnings, [`${name} is not a variable of ours; ${ours} is`]);
  }
  for (const name of [
    'POST',
    'HOSTS',
    'HOME',
    'PATH',
    'REDIS',
    'ACCESS_TOKEN',
    'LOG',
    'ACCESS_TOKEN_LIFTIMES',
    'REDIS_URL_FIEL_',
  ]) {
    t.same(loadConfig({ [name]: 'x' }).warnings, [], name);
  }

  const read = new Set<string | symbol>();
  loadConfig(
    new Proxy(
      { SECRET_OF_ANOTHER: 'x', REDIS_URI: 'x' },
      {
        get(env, name) {
          read.add(name);
          return Reflect.get(env, name) as unknown;
        },
      },
    ),
  );
  t.ok(read.has('REDIS_URL'));
  t.notOk(read.has('SECRET_OF_ANOTHER'));
  t.notOk(read.has('REDIS_URI'));
});
