import t from 'tap';
import { HASH, KEY, problemsOf, SECRET } from './support.js';

t.test('PUBLIC_ORIGIN accepts only origins', async (t) => {
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
    'PUBLIC_ORIGIN entry 3 is a duplicate',
  ]);
});

t.test('TRUST_PROXY accepts addresses and ranges of proxies, but nothing that trusts everyone', async (t) => {
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

t.test('TOKEN_KEYS accepts only different keys of at least 32 characters', async (t) => {
  t.strictSame(problemsOf({ TOKEN_KEYS: `${KEY},${'s'.repeat(31)},${KEY},${'🔑'.repeat(16)}` }), [
    'TOKEN_KEYS entry 2 must have at least 32 characters',
    'TOKEN_KEYS entry 3 is a duplicate',
    'TOKEN_KEYS entry 4 must have at least 32 characters',
  ]);
});

t.test('OIDC_PROVIDERS needs a name, an https issuer, a client id and a client secret for each provider', async (t) => {
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
});

t.test('ADMIN_KEYS accepts only known scopes', async (t) => {
  t.match(problemsOf({ ADMIN_KEYS: `ops:${HASH}:everything` }), [
    /^ADMIN_KEYS entry 1 must contain only these scopes:/,
  ]);
});

t.test('WEBHOOKS accepts only URLs without credentials and strong secrets', async (t) => {
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
    t.match(
      problemsOf({ WEBHOOKS: `https://a.example${secrets}` }),
      [/^WEBHOOKS entry 1 must be <url> <secret>/],
      secrets,
    );
  }
});
