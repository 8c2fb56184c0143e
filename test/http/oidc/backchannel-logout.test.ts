import { generateKeyPair } from 'jose';
import { createHash } from 'node:crypto';
import t from 'tap';
import { bearer } from '../../support/service.js';
import {
  provider,
  events,
  service,
  get,
  client,
  keys,
  logIn,
  sessionOf,
  EVENT,
  logoutToken,
  logOut,
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

t.test('a logout token with a subject ends all of its sessions from the provider, and works once', async (t) => {
  const sessions = [await sessionOf((await logIn('mary')).reply), await sessionOf((await logIn('mary')).reply)];
  const own = await service.mint(sessions[0]!.subject);
  const token = await logoutToken({ sub: 'mary' });
  t.equal((await logOut(token)).statusCode, 200);
  for (const session of sessions) t.equal((await get('/auth/session', session.headers)).statusCode, 401);
  t.equal((await get('/auth/session', bearer(own))).statusCode, 200);
  t.equal((await logOut(token)).statusCode, 400, 'a replay');
  t.equal((await logOut(await logoutToken({ sub: 'somebody that we do not know' }))).statusCode, 200);
});

t.test('accepts a logout token again if its sessions could not be ended', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const token = await logoutToken({ sub: 'mary' });
  const admin = service.redis.client();
  await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  t.equal((await logOut(token)).statusCode, 503);
  await admin.call('CLIENT', 'UNPAUSE');
  t.equal((await logOut(token)).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 401);
});

t.test('a logout token with only a sid ends the sessions that began with it, and no others', async (t) => {
  const [first, second] = [await sessionOf((await logIn('mary')).reply), await sessionOf((await logIn('mary')).reply)];
  const own = await service.mint(first.subject);
  const { sid } = first.data.oidc;
  const key = keys.providerSession(
    createHash('sha256')
      .update(JSON.stringify([provider.issuer, sid]))
      .digest('base64url'),
  );
  t.equal(await client.get(key), first.subject);
  const left = (await client.pttl(key)) - service.config.sessionLifetimeMs;
  t.ok(left > 0 && left <= 60_000, 'for as long as the session can live, and no longer than a minute more');

  t.equal(
    (await logOut(await logoutToken({ sub: undefined, sid: 'of somebody that we do not know' }))).statusCode,
    200,
  );
  t.equal(
    (await logOut(await logoutToken({ sub: undefined, sid }), 'other')).statusCode,
    200,
    'of another client of that provider',
  );
  for (const { headers } of [first, second]) t.equal((await get('/auth/session', headers)).statusCode, 200);

  const token = await logoutToken({ sub: undefined, sid });
  t.equal((await logOut(token)).statusCode, 200);
  t.equal((await get('/auth/session', first.headers)).statusCode, 401);
  for (const headers of [second.headers, bearer(own)]) t.equal((await get('/auth/session', headers)).statusCode, 200);
  t.equal((await logOut(token)).statusCode, 400, 'a replay');
});

t.test('refuses an invalid logout token, which ends nothing', async (t) => {
  const session = await sessionOf((await logIn('mary')).reply);
  const { privateKey } = await generateKeyPair('RS256');
  const wrong: [string, string][] = [
    ['nothing', ''],
    ['no token', 'x'],
    ['another key', await logoutToken({}, { key: privateKey })],
    ['another issuer', await logoutToken({ iss: 'https://evil.example' })],
    ['another audience', await logoutToken({ aud: 'another' })],
    ['an ID token', await logoutToken({}, { typ: 'JWT' })],
    ['a nonce', await logoutToken({ nonce: 'x' })],
    ['no events', await logoutToken({ events: undefined })],
    ['another event', await logoutToken({ events: { other: {} } })],
    ['an event that is null', await logoutToken({ events: { [EVENT]: null } })],
    ['no jti', await logoutToken({ jti: undefined })],
    ['a jti that is a number', await logoutToken({ jti: 1 })],
    ['neither a subject nor a session', await logoutToken({ sub: undefined })],
    ['a subject that is null, with a session', await logoutToken({ sub: null, sid: session.data.oidc.sid })],
    ['a sid that is null, without a subject', await logoutToken({ sub: undefined, sid: null })],
    ['a subject that is a number', await logoutToken({ sub: 1 })],
    ['a sid that is a number', await logoutToken({ sid: 1 })],
    ['expired', await logoutToken({ exp: Math.floor(Date.now() / 1000) - 60 })],
    ['old', await logoutToken({ iat: Math.floor(Date.now() / 1000) - 700 })],
  ];
  for (const [what, token] of wrong) {
    const reply = await logOut(token);
    t.equal(reply.statusCode, 400, what);
    t.match(reply.json(), { code: 'invalid_request' });
  }
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
  t.equal((await logOut('x', 'nobody')).statusCode, 404);
  t.equal((await logOut(await logoutToken({ sid: 'of another session' }))).statusCode, 200);
  t.equal((await get('/auth/session', session.headers)).statusCode, 200);
});
