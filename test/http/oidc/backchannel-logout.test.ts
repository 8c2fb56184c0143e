import { createHash } from 'node:crypto';
import { generateKeyPair } from 'jose';
import t from 'tap';
import { assertLifetime, timeInRedis } from '../../support/redis/expiry.js';
import { bearer } from '../../support/service.js';
import {
  client,
  events,
  get,
  keys,
  logIn,
  LOGOUT_EVENT,
  logoutToken,
  provider,
  sendLogoutToken,
  service,
  sessionOf,
} from './support.js';

t.test('a logout at the provider ends the session that began with it, and no other', async (t) => {
  const elsewhere = await sessionOf((await logIn('dorothy')).reply);
  const session = await sessionOf((await logIn('dorothy')).reply);
  const own = await service.mint(session.subject);
  await provider.logout();
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/session', elsewhere.headers)).statusCode, 200);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
  t.match(events.at(-1), {
    event: 'session_end',
    reason: 'revoked',
    subject: session.subject,
    sessionId: session.session_id,
    actor: 'corp',
  });
});

t.test('a logout token with a sub ends all sessions that its user began there, and works once', async (t) => {
  const sessions = [await sessionOf((await logIn('mary')).reply), await sessionOf((await logIn('mary')).reply)];
  const own = await service.mint(sessions[0]!.subject);
  const token = await logoutToken({ sub: 'mary' });
  t.equal((await sendLogoutToken(token)).statusCode, 200);
  for (const session of sessions) t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
  t.equal((await sendLogoutToken(token)).statusCode, 400, 'a used token is refused');
  t.equal((await sendLogoutToken(await logoutToken({ sub: 'unknown' }))).statusCode, 200);
});

t.test('accepts a logout token again if its sessions could not be ended', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const token = await logoutToken({ sub: 'mary' });
  const admin = service.redis.client();
  await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  t.equal((await sendLogoutToken(token)).statusCode, 503);
  await admin.call('CLIENT', 'UNPAUSE');
  t.equal((await sendLogoutToken(token)).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
});

t.test('a logout token with only a sid ends the sessions that began with it, and no others', async (t) => {
  const { result: login, ...span } = await timeInRedis(client, () => logIn('mary'));
  const [first, second] = [await sessionOf(login.reply), await sessionOf((await logIn('mary')).reply)];
  const ownLogin = await service.mint(first.subject);
  const { sid } = first.data.oidc;
  const key = keys.providerSession(
    createHash('sha256')
      .update(JSON.stringify([provider.issuer, sid]))
      .digest('base64url'),
  );
  t.equal(await client.get(key), first.subject);
  await assertLifetime(t, client, key, service.config.sessionLifetimeMs + 60_000, span);

  t.equal((await sendLogoutToken(await logoutToken({ sub: undefined, sid: 'unknown' }))).statusCode, 200);
  t.equal(
    (await sendLogoutToken(await logoutToken({ sub: undefined, sid }), 'other')).statusCode,
    200,
    'the token of a session that began with another client of the provider',
  );
  for (const { headers } of [first, second]) t.equal((await get('/auth/session', headers)).statusCode, 200);

  const token = await logoutToken({ sub: undefined, sid });
  t.equal((await sendLogoutToken(token)).statusCode, 200);
  t.equal((await get('/auth/session', first.headers)).statusCode, 401);
  for (const headers of [second.headers, bearer(ownLogin)])
    t.equal((await get('/auth/session', headers)).statusCode, 200);
  t.equal((await sendLogoutToken(token)).statusCode, 400, 'a used token is refused');
});

t.test('refuses an invalid logout token, which ends nothing', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const { privateKey } = await generateKeyPair('RS256');
  const invalid: [string, string][] = [
    ['an empty token', ''],
    ['text that is not a token', 'x'],
    ['signed with another key', await logoutToken({}, { key: privateKey })],
    ['another issuer', await logoutToken({ iss: 'https://evil.example' })],
    ['another audience', await logoutToken({ aud: 'another' })],
    ['the type of an ID token', await logoutToken({}, { typ: 'JWT' })],
    ['a nonce', await logoutToken({ nonce: 'x' })],
    ['no events', await logoutToken({ events: undefined })],
    ['another event', await logoutToken({ events: { other: {} } })],
    ['an event that is null', await logoutToken({ events: { [LOGOUT_EVENT]: null } })],
    ['no jti', await logoutToken({ jti: undefined })],
    ['a jti that is a number', await logoutToken({ jti: 1 })],
    ['neither a subject nor a session', await logoutToken({ sub: undefined })],
    ['a subject that is null, with a session', await logoutToken({ sub: null, sid: session.data.oidc.sid })],
    ['a sid that is null, without a subject', await logoutToken({ sub: undefined, sid: null })],
    ['a subject that is a number', await logoutToken({ sub: 1 })],
    ['a sid that is a number', await logoutToken({ sid: 1 })],
    ['an exp in the past', await logoutToken({ exp: Math.floor(Date.now() / 1000) - 60 })],
    ['an iat too long ago', await logoutToken({ iat: Math.floor(Date.now() / 1000) - 700 })],
  ];
  for (const [flaw, token] of invalid) {
    const reply = await sendLogoutToken(token);
    t.equal(reply.statusCode, 400, flaw);
    t.match(reply.json(), { code: 'invalid_request' });
  }
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
  t.equal((await sendLogoutToken('x', 'nobody')).statusCode, 404);
  t.equal((await sendLogoutToken(await logoutToken({ sid: 'unknown' }))).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
});
