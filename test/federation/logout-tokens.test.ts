import { createHash, randomUUID } from 'node:crypto';
import { mock } from 'node:test';
import { generateKeyPair, SignJWT } from 'jose';
import t from 'tap';
import { LogoutTokens } from '../../src/federation/logout-tokens.js';
import type { DiscoveredProvider } from '../../src/federation/providers.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';
import { assertLifetime, timeInRedis } from '../support/redis/expiry.js';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** The time of this process stands still here, so that the limits of `iat` and `exp` are exact. */
const NOW = Date.UTC(2026, 10, 21) / 1000;
mock.timers.enable({ apis: ['Date'], now: NOW * 1000 });
t.teardown(() => mock.timers.reset());

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const logoutTokens = new LogoutTokens(client, new RedisKeys('test:'));
const { privateKey, publicKey } = await generateKeyPair('RS256');
const { privateKey: foreignKey } = await generateKeyPair('RS256');

const corp = providerOf('https://id.example');

function providerOf(issuer: string): DiscoveredProvider {
  const provider = { name: 'corp', issuer, clientId: 'latchkey', clientSecret: 'a-secret' };
  return { provider, getKey: async () => publicKey } as Pick<
    DiscoveredProvider,
    'provider' | 'getKey'
  > as DiscoveredProvider;
}

/** A valid logout token with some claims changed; `undefined` leaves a claim out. */
function sign(changes: Record<string, unknown> = {}, { key = privateKey, typ = 'logout+jwt' } = {}): Promise<string> {
  const claims = {
    iss: 'https://id.example',
    aud: 'latchkey',
    iat: NOW,
    exp: NOW + 120,
    jti: randomUUID(),
    sub: 'mary',
    events: { [EVENT]: {} },
    ...changes,
  };
  return new SignJWT(JSON.parse(JSON.stringify(claims))).setProtectedHeader({ alg: 'RS256', typ }).sign(key);
}

t.test('a valid token names the user, the session or both', async (t) => {
  const [issuer, jti] = ['https://id.example', 'token-1'];
  for (const named of [
    { sub: 'mary', sid: undefined },
    { sub: undefined, sid: 'session-1' },
    { sub: 'mary', sid: 'session-1' },
  ]) {
    const claims = await logoutTokens.verify(corp, await sign({ jti, ...named }));
    t.strictSame(claims, { issuer, jti, ...named });
  }
});

t.test('accepts an event with members, several audiences, and the media type spelled out', async (t) => {
  for (const [changes, header] of [
    [{ events: { [EVENT]: { reason: 'x' }, other: {} } }, {}],
    [{ aud: ['another', 'latchkey'] }, {}],
    [{}, { typ: 'application/logout+jwt' }],
  ] as const) {
    t.match(await logoutTokens.verify(corp, await sign(changes, header)), { sub: 'mary' }, JSON.stringify(changes));
  }
});

const refused: Record<string, () => Promise<string> | string> = {
  'an empty token': () => '',
  'text that is not a JWT': () => 'x',
  'an unsigned token': async () => `${(await sign()).split('.').slice(0, 2).join('.')}.`,
  'a token signed with another key': () => sign({}, { key: foreignKey }),
  'a token of another type': () => sign({}, { typ: 'JWT' }),
  'another issuer': () => sign({ iss: 'https://evil.example' }),
  'no issuer': () => sign({ iss: undefined }),
  'another audience': () => sign({ aud: 'another' }),
  'no audience': () => sign({ aud: undefined }),
  'no iat': () => sign({ iat: undefined }),
  'no exp': () => sign({ exp: undefined }),
  'no jti': () => sign({ jti: undefined }),
  'a jti that is a number': () => sign({ jti: 1 }),
  'a nonce': () => sign({ nonce: 'x' }),
  'no events': () => sign({ events: undefined }),
  'another event': () => sign({ events: { other: {} } }),
  'an event that is null': () => sign({ events: { [EVENT]: null } }),
  'an event that is a string': () => sign({ events: { [EVENT]: 'x' } }),
  'neither sub nor sid': () => sign({ sub: undefined }),
  'a sub that is null, with a sid': () => sign({ sub: null, sid: 'session-1' }),
  'a sid that is null, with a sub': () => sign({ sid: null }),
  'a sub that is a number': () => sign({ sub: 1 }),
  'a sid that is a number': () => sign({ sid: 1 }),
  'an exp 30 s ago': () => sign({ exp: NOW - 30 }),
  'an iat more than 10:30 min ago': () => sign({ iat: NOW - 631 }),
  'an iat more than 30 s ahead': () => sign({ iat: NOW + 31 }),
};

for (const [flaw, token] of Object.entries(refused)) {
  t.test(`refuses ${flaw}`, async (t) => {
    await t.rejects(logoutTokens.verify(corp, await token()), {
      name: 'InvalidLogoutTokenError',
      code: 'invalid_logout_token',
    });
  });
}

t.test('accepts a token at the limits of its age and of the clock tolerance', async (t) => {
  for (const times of [{ exp: NOW - 29 }, { iat: NOW - 630 }, { iat: NOW + 30 }]) {
    t.match(await logoutTokens.verify(corp, await sign(times)), { sub: 'mary' }, JSON.stringify(times));
  }
});

t.test('a token stays valid until it is marked as used', async (t) => {
  const token = await sign();
  await logoutTokens.verify(corp, token);
  const claims = await logoutTokens.verify(corp, token);
  await logoutTokens.markAsUsed(claims);
  await t.rejects(logoutTokens.verify(corp, token), { code: 'invalid_logout_token' });
});

t.test('a used token does not use up the jti of another issuer, nor another jti', async (t) => {
  await logoutTokens.markAsUsed(await logoutTokens.verify(corp, await sign({ jti: 'shared' })));
  const other = providerOf('https://other.example');
  t.match(await logoutTokens.verify(other, await sign({ iss: 'https://other.example', jti: 'shared' })), {
    issuer: 'https://other.example',
  });
  t.match(await logoutTokens.verify(corp, await sign({ jti: 'another' })), { jti: 'another' });
});

t.test('a used token is recorded for 11 minutes, until it is too old to be accepted', async (t) => {
  const claims = await logoutTokens.verify(corp, await sign({ jti: 'kept' }));
  const span = await timeInRedis(client, () => logoutTokens.markAsUsed(claims));
  const digest = createHash('sha256')
    .update(JSON.stringify(['https://id.example', 'kept']))
    .digest('base64url');
  await assertLifetime(t, client, `test:oidc:logout:${digest}`, 660_000, span);
});
