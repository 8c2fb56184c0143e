import t, { type Test } from 'tap';
import { CLIENT_SECRET } from '../../support/oauth-client.js';
import { basic, CONFIDENTIAL, PUBLIC, startAuthorizationServer } from './fixture.js';

t.test('client authentication', async (t) => {
  const { send } = await startAuthorizationServer(t);
  const unknown = { token: 'lka_unknown' };
  const introspect = (form: Record<string, string>, headers = {}) =>
    send('/oauth/introspect', { ...unknown, ...form }, headers);

  const assertInvalidClient = async (
    t: Test,
    reply: Awaited<ReturnType<typeof send>>,
    error_description = 'The client is unknown, or its authentication failed.',
  ) => {
    t.equal(reply.statusCode, 401);
    t.strictSame(reply.json(), { error: 'invalid_client', error_description });
    t.match(reply.headers['www-authenticate'], /^Basic realm="latchkey"/);
    t.match(reply.headers, { 'cache-control': 'no-store', pragma: 'no-cache', 'content-type': /^application\/json/ });
  };

  t.test('a confidential client authenticates by Basic or by parameters', async (t) => {
    t.equal((await introspect({}, basic('web', CLIENT_SECRET))).statusCode, 200);
    t.equal((await introspect(CONFIDENTIAL)).statusCode, 200);
    t.equal(
      (await introspect({ client_id: 'web' }, basic('web', CLIENT_SECRET))).statusCode,
      200,
      'its id may be repeated',
    );
    t.equal(
      (await introspect({}, { authorization: basic('web', CLIENT_SECRET).authorization.replace('Basic ', 'bAsIC   ') }))
        .statusCode,
      200,
    );
  });

  t.test('Basic credentials are form-decoded (RFC 6749 section 2.3.1)', async (t) => {
    t.equal(
      (await introspect({}, basic('%77eb', encodeURIComponent(CLIENT_SECRET).replaceAll('-', '%2D')))).statusCode,
      200,
    );
    await assertInvalidClient(t, await introspect({}, basic('web', '%zz')));
    await assertInvalidClient(t, await introspect({}, basic('web', `${CLIENT_SECRET}+`)));
  });

  t.test('every failed client authentication gets the same answer', async (t) => {
    const replies = await Promise.all([
      introspect({}),
      introspect({ client_id: 'nobody', client_secret: CLIENT_SECRET }),
      introspect({ client_id: 'web', client_secret: 'wrong' }),
      introspect({ client_id: 'web' }),
      introspect({ client_secret: CLIENT_SECRET }),
      introspect({}, basic('web', 'wrong')),
      introspect({}, basic('nobody', CLIENT_SECRET)),
      introspect({}, { authorization: 'Basic' }),
      introspect({}, { authorization: `Basic ${Buffer.from('web').toString('base64')}` }),
      introspect({}, { authorization: 'Bearer token' }),
      introspect({}, { authorization: 'Basic %%%' }),
      introspect({}, { authorization: `x${basic('web', CLIENT_SECRET).authorization}` }),
      introspect({}, { authorization: `${basic('web', CLIENT_SECRET).authorization} x` }),
    ]);
    for (const reply of replies) {
      await assertInvalidClient(t, reply);
      t.equal(reply.body, replies[0].body);
    }
  });

  t.test('a public client sends its id and no secret', async (t) => {
    t.equal((await send('/oauth/revoke', { ...unknown, ...PUBLIC })).statusCode, 200);
    t.equal(
      (await send('/oauth/revoke', { ...unknown, ...PUBLIC, client_secret: '' })).statusCode,
      200,
      'an empty secret counts as none',
    );
    t.equal((await send('/oauth/revoke', unknown, basic('spa', ''))).statusCode, 200);
    await assertInvalidClient(t, await send('/oauth/revoke', { ...unknown, ...PUBLIC, client_secret: CLIENT_SECRET }));
    await assertInvalidClient(t, await introspect(PUBLIC), 'This endpoint requires a confidential client.');
  });

  t.test('two authentication methods, or two client ids, are invalid_request', async (t) => {
    for (const [reply, error_description] of [
      [await introspect(CONFIDENTIAL, basic('web', CLIENT_SECRET)), 'The client used two authentication methods.'],
      [await introspect({ client_id: 'spa' }, basic('web', CLIENT_SECRET)), 'The request names two different clients.'],
    ] as const) {
      t.equal(reply.statusCode, 400);
      t.strictSame(reply.json(), { error: 'invalid_request', error_description });
      t.equal(reply.headers['www-authenticate'], undefined);
    }
  });
});

t.test('malformed requests to the OAuth endpoints', async (t) => {
  const { send, inject } = await startAuthorizationServer(t);
  const assertInvalidRequest = (
    t: Test,
    reply: Awaited<ReturnType<typeof send>>,
    error_description = 'A parameter is missing or invalid.',
  ) => {
    t.equal(reply.statusCode, 400);
    t.strictSame(reply.json(), { error: 'invalid_request', error_description });
    t.match(error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, 'only characters that RFC 6749 allows');
  };
  const NO_FORM = 'The request body must be application/x-www-form-urlencoded.';
  const TOO_LARGE = 'The request is too large.';

  t.test('a duplicate, missing or empty parameter is invalid_request', async (t) => {
    assertInvalidRequest(
      t,
      await send('/oauth/token', 'grant_type=refresh_token&grant_type=refresh_token&client_id=spa&refresh_token=x'),
      'A parameter occurs more than once.',
    );
    assertInvalidRequest(t, await send('/oauth/token', PUBLIC));
    assertInvalidRequest(t, await send('/oauth/token', { ...PUBLIC, grant_type: '' }));
    assertInvalidRequest(t, await send('/oauth/introspect', CONFIDENTIAL));
    assertInvalidRequest(t, await send('/oauth/revoke', PUBLIC));
    assertInvalidRequest(t, await send('/oauth/revoke', { ...PUBLIC, token: '' }));
  });

  t.test('a body that is not a short form is invalid_request', async (t) => {
    assertInvalidRequest(
      t,
      await inject({ method: 'POST', url: '/oauth/token', payload: { grant_type: 'refresh_token' } }),
      NO_FORM,
    );
    assertInvalidRequest(t, await inject({ method: 'POST', url: '/oauth/token' }));
    assertInvalidRequest(t, await send('/oauth/token', `grant_type=${'x'.repeat(20_000)}`), TOO_LARGE);
  });

  t.test('unknown parameters are ignored', async (t) => {
    const reply = await send('/oauth/revoke', {
      ...PUBLIC,
      token: 'x',
      __proto__: 'x',
      constructor: 'x',
      toString: 'x',
    });
    t.equal(reply.statusCode, 200);
  });
});
