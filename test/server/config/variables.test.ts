import t from 'tap';
import { type Config, loadConfig } from '../../../src/server/config/load.js';
import { HASH, KEY, SECRET } from './support.js';

const OTHER_KEY = 'o'.repeat(40);

t.test('an empty environment gives the defaults and no warning', async (t) => {
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

t.test('every variable that is set is parsed', async (t) => {
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
