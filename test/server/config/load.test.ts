import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../src/server/config/load.js';
import { KEY, problemsOf } from './support.js';

const OTHER_KEY = 'o'.repeat(40);

t.test('an empty string counts as unset', async (t) => {
  t.same(
    loadConfig({ PORT: '', REDIS_URL: '', TOKEN_KEYS: '', TOKEN_KEYS_FILE: '', REGISTRATION: '' }),
    loadConfig({}),
  );
});

t.test('the configuration is deeply frozen', async (t) => {
  const config = loadConfig({ TOKEN_KEYS: KEY, REDIS_URL: 'redis://a,redis://b', OAUTH_CLIENTS: 'spa' });
  t.ok(Object.isFrozen(config));
  t.ok(Object.isFrozen(config.warnings));
  t.ok(Object.isFrozen(config.tokenKeys));
  t.ok(Object.isFrozen(config.oauthClients?.[0]));
  t.ok(config.redis?.kind === 'cluster' && Object.isFrozen(config.redis.nodes[0]));
});

t.test('all problems are reported at once, each with the name of its variable', async (t) => {
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

t.test('no problem contains a value', async (t) => {
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
    'TOKEN_KEYS_FILE refers to a file that cannot be read (ENOENT)',
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
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'newline' }, readFile), ['TOKEN_KEYS_FILE refers to an empty file']);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'spaces' }, readFile), ['TOKEN_KEYS_FILE refers to an empty file']);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'gone' }, readFile), [
    'TOKEN_KEYS_FILE refers to a file that cannot be read (unknown error)',
  ]);
  t.strictSame(problemsOf({ TOKEN_KEYS_FILE: 'short' }, readFile), [
    'TOKEN_KEYS entry 1 must have at least 32 characters',
  ]);
  t.strictSame(problemsOf({ TOKEN_KEYS: KEY, TOKEN_KEYS_FILE: 'url' }, readFile), [
    'TOKEN_KEYS and TOKEN_KEYS_FILE are both set: set only one of them',
  ]);
  t.strictSame(
    problemsOf({ NODE_ENV: 'production', TOKEN_KEYS_FILE: 'gone', PUBLIC_ORIGIN: 'https://a.example' }, readFile)
      .length,
    1,
  );
  t.same(loadConfig({ PORT_FILE: 'url' }, { readFile }), loadConfig({}), 'a variable that is not a secret cannot');
});

t.test('a misspelled variable is warned about, and its value is not read', async (t) => {
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
    t.same(loadConfig({ [name]: 'x' }).warnings, [`${name} is not a variable of latchkey: did you mean ${ours}?`]);
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
