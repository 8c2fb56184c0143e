import t, { type Test } from 'tap';
import { keysUnder } from '../../support/audit.js';
import { CLIENT_SECRET } from '../../support/oauth-client.js';
import { basic, CLOSED_MS, CONFIDENTIAL, OTHER, PUBLIC, startAuthorizationServer } from './fixture.js';

t.test('POST /oauth/token', async (t) => {
  const server = await startAuthorizationServer(t);
  const { send, issue, age, post, client, config } = server;
  const refresh = (token: string, form: Record<string, string> = CONFIDENTIAL) =>
    send('/oauth/token', { grant_type: 'refresh_token', refresh_token: token, ...form });
  const descriptions = {
    invalid_grant: 'The refresh token is invalid, expired, revoked, or was issued to another client.',
    invalid_scope: 'The scope must equal the granted scope or be omitted.',
    unsupported_grant_type: 'The only grant type is refresh_token.',
    invalid_request: 'The parameter refresh_token is missing.',
  };
  const assertError = (t: Test, reply: Awaited<ReturnType<typeof send>>, error: keyof typeof descriptions) => {
    t.equal(reply.statusCode, 400);
    t.strictSame(reply.json(), { error, error_description: descriptions[error] });
    t.match(reply.headers, { 'cache-control': 'no-store', pragma: 'no-cache' });
  };

  t.test('refreshing rotates the pair and answers as RFC 6749 section 5.1 requires', async (t) => {
    const { pair } = await issue();
    const reply = await refresh(pair.refresh.token);
    t.equal(reply.statusCode, 200);
    t.match(reply.headers, { 'cache-control': 'no-store', pragma: 'no-cache', 'content-type': /^application\/json/ });
    t.notOk(reply.headers['set-cookie']);
    const { access_token, refresh_token, ...rest } = reply.json();
    t.match(access_token, /^lka_/);
    t.match(refresh_token, /^lkr_/);
    t.not(refresh_token, pair.refresh.token);
    t.match(rest, { token_type: 'Bearer', scope: 'read write' });
    t.ok(rest.expires_in > 890 && rest.expires_in <= 900);
    t.same((await refresh(pair.refresh.token)).json().access_token, access_token, 'asking again gives the same pair');
    t.equal(
      (await send('/oauth/token', { grant_type: 'refresh_token', refresh_token }, basic('web', CLIENT_SECRET)))
        .statusCode,
      200,
    );
  });

  t.test('a public client refreshes', async (t) => {
    const { pair } = await issue('spa');
    t.equal((await refresh(pair.refresh.token, PUBLIC)).statusCode, 200);
  });

  t.test('refreshing a session without a scope answers without one', async (t) => {
    const { pair } = await server.mint('subject-2', {
      identity: { subject: 'subject-2', methods: ['pwd'], client: 'web' },
    });
    t.notOk('scope' in (await refresh(pair.refresh.token)).json());
    assertError(
      t,
      await refresh(
        (await server.mint('subject-2', { identity: { subject: 'subject-2', methods: ['pwd'], client: 'web' } })).pair
          .refresh.token,
        { ...CONFIDENTIAL, scope: 'read' },
      ),
      'invalid_scope',
    );
  });

  t.test('a refresh token of another client, or of none, is invalid_grant and stays valid', async (t) => {
    const tokens = await issue('web');
    assertError(t, await refresh(tokens.pair.refresh.token, OTHER), 'invalid_grant');
    assertError(t, await refresh(tokens.pair.refresh.token, { ...OTHER, scope: 'read write' }), 'invalid_grant');
    assertError(t, await refresh(tokens.pair.refresh.token, PUBLIC), 'invalid_grant');
    assertError(t, await refresh((await server.mint()).pair.refresh.token), 'invalid_grant');
    t.equal(
      (await post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).statusCode,
      403,
      '/auth/refresh refuses it too',
    );
    t.equal((await refresh(tokens.pair.refresh.token)).statusCode, 200);
  });

  t.test('a malformed or revoked refresh token is invalid_grant', async (t) => {
    assertError(t, await refresh('no token'), 'invalid_grant');
    const { pair, principal } = await issue();
    await server.store.revoke(principal.subject, principal.sessionId, 'revoked');
    assertError(t, await refresh(pair.refresh.token), 'invalid_grant');
    assertError(t, await refresh(pair.refresh.token, { ...CONFIDENTIAL, scope: 'read write' }), 'invalid_grant');
  });

  t.test('reuse of a refresh token ends the session', async (t) => {
    const first = await issue('web', 'subject-3');
    let { refresh_token } = (await refresh(first.pair.refresh.token)).json();
    for (let i = 0; i < 2; i++) {
      refresh_token = (await refresh(refresh_token)).json().refresh_token;
      await age(first, CLOSED_MS);
    }
    assertError(t, await refresh(first.pair.refresh.token), 'invalid_grant');
    assertError(t, await refresh(refresh_token), 'invalid_grant');
    const left = await keysUnder(client, config.redisPrefix);
    t.same(
      left.filter((key) => key.includes(first.principal.sessionId)).map((key) => key.replace(/.*}:/, '')),
      [`ended:${first.principal.sessionId}`],
    );
  });

  t.test('the requested scope must be the granted one, in any order', async (t) => {
    const { pair } = await issue();
    for (const scope of [' ', 'read', 'read admin', 'read write admin', 'admin', 'read  read', 'readwrite']) {
      assertError(t, await refresh(pair.refresh.token, { ...CONFIDENTIAL, scope }), 'invalid_scope');
    }
    t.equal((await refresh(pair.refresh.token, { ...CONFIDENTIAL, scope: ' write  read ' })).statusCode, 200);
    const { pair: unscoped } = await server.mint('subject-2', {
      identity: { subject: 'subject-2', methods: ['pwd'], client: 'web' },
    });
    t.equal(
      (await refresh(unscoped.refresh.token, { ...CONFIDENTIAL, scope: ' ' })).statusCode,
      200,
      'an empty scope, where none was granted',
    );
  });

  t.test('every other grant type is refused', async (t) => {
    assertError(
      t,
      await send('/oauth/token', { ...CONFIDENTIAL, grant_type: 'password', username: 'ada', password: 'x' }),
      'unsupported_grant_type',
    );
    assertError(t, await send('/oauth/token', { ...CONFIDENTIAL, grant_type: 'refresh_token' }), 'invalid_request');
    t.equal((await server.get('/oauth/token')).statusCode, 404);
  });

  t.test('the token endpoint ignores cookies and accepts cross-origin requests', async (t) => {
    const { pair } = await issue();
    const reply = await send(
      '/oauth/token',
      { grant_type: 'refresh_token', refresh_token: pair.refresh.token, ...CONFIDENTIAL },
      {
        cookie: '__Host-Http-latchkey=x; __Host-Http-latchkey=y',
        origin: 'https://elsewhere.example',
        'sec-fetch-site': 'cross-site',
      },
    );
    t.equal(reply.statusCode, 200);
  });
});
