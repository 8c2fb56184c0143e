import t, { type Test } from 'tap';
import { basic, CONFIDENTIAL, PUBLIC, SECRET, startAuthorizationServer } from './fixture.js';

t.test('client authentication', async (t) => {
  const { send } = await startAuthorizationServer(t);
  const unknown = { token: 'lka_unknown' };
  const introspect = (form: Record<string, string>, headers = {}) =>
    send('/oauth/introspect', { ...unknown, ...form }, headers);

  const refused = async (t: Test, reply: Awaited<ReturnType<typeof send>>) => {
    t.equal(reply.statusCode, 401);
    t.strictSame(reply.json(), {
      error: 'invalid_client',
      error_description: 'The client is unknown, or did not authenticate as it must.',
    });
    t.match(reply.headers['www-authenticate'], /^Basic realm="latchkey"/);
    t.match(reply.headers, { 'cache-control': 'no-store', pragma: 'no-cache', 'content-type': /^application\/json/ });
  };

  t.test('by Basic and by parameters', async (t) => {
    t.equal((await introspect({}, basic('web', SECRET))).statusCode, 200);
    t.equal((await introspect(CONFIDENTIAL)).statusCode, 200);
    t.equal((await introspect({ client_id: 'web' }, basic('web', SECRET))).statusCode, 200, 'its id may be repeated');
    t.equal(
      (await introspect({}, { authorization: basic('web', SECRET).authorization.replace('Basic ', 'bAsIC   ') }))
        .statusCode,
      200,
    );
  });

  t.test('the halves of Basic are form-encoded before they are joined (RFC 6749 section 2.3.1)', async (t) => {
    t.equal((await introspect({}, basic('%77eb', encodeURIComponent(SECRET).replaceAll('-', '%2D')))).statusCode, 200);
    await refused(t, await introspect({}, basic('web', '%zz')));
    await refused(t, await introspect({}, basic('web', `${SECRET}+`)));
  });

  t.test('whatever is wrong, the answer is the same', async (t) => {
    const replies = await Promise.all([
      introspect({}),
      introspect({ client_id: 'nobody', client_secret: SECRET }),
      introspect({ client_id: 'web', client_secret: 'wrong' }),
      introspect({ client_id: 'web' }),
      introspect({ client_secret: SECRET }),
      introspect({}, basic('web', 'wrong')),
      introspect({}, basic('nobody', SECRET)),
      introspect({}, { authorization: 'Basic' }),
      introspect({}, { authorization: `Basic ${Buffer.from('web').toString('base64')}` }),
      introspect({}, { authorization: 'Bearer token' }),
      introspect({}, { authorization: 'Basic %%%' }),
      introspect({}, { authorization: `x${basic('web', SECRET).authorization}` }),
      introspect({}, { authorization: `${basic('web', SECRET).authorization} x` }),
    ]);
    for (const reply of replies) {
      await refused(t, reply);
      t.equal(reply.body, replies[0].body);
    }
  });

  t.test('a public client names itself and has no secret', async (t) => {
    t.equal((await send('/oauth/revoke', { ...unknown, ...PUBLIC })).statusCode, 200);
    t.equal(
      (await send('/oauth/revoke', { ...unknown, ...PUBLIC, client_secret: '' })).statusCode,
      200,
      'an empty one is none',
    );
    t.equal((await send('/oauth/revoke', unknown, basic('spa', ''))).statusCode, 200);
    await refused(t, await send('/oauth/revoke', { ...unknown, ...PUBLIC, client_secret: SECRET }));
    await refused(t, await introspect(PUBLIC));
  });

  t.test('two ways at once, or two clients, are invalid_request', async (t) => {
    for (const [reply, error_description] of [
      [await introspect(CONFIDENTIAL, basic('web', SECRET)), 'The client authenticates in two ways.'],
      [await introspect({ client_id: 'spa' }, basic('web', SECRET)), 'The request names two clients.'],
    ] as const) {
      t.equal(reply.statusCode, 400);
      t.strictSame(reply.json(), { error: 'invalid_request', error_description });
      t.equal(reply.headers['www-authenticate'], undefined);
    }
  });
});

t.test('requests that are no good', async (t) => {
  const { send, inject } = await startAuthorizationServer(t);
  const invalid = (
    t: Test,
    reply: Awaited<ReturnType<typeof send>>,
    error_description = 'A required parameter is missing.',
  ) => {
    t.equal(reply.statusCode, 400);
    t.strictSame(reply.json(), { error: 'invalid_request', error_description });
    t.match(error_description, /^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/, 'the characters that RFC 6749 allows');
  };
  const NO_FORM = 'The request must be a short application/x-www-form-urlencoded body.';

  t.test('a parameter twice, one that is missing, and one without a value', async (t) => {
    invalid(
      t,
      await send('/oauth/token', 'grant_type=refresh_token&grant_type=refresh_token&client_id=spa&refresh_token=x'),
      'A parameter is there twice.',
    );
    invalid(t, await send('/oauth/token', PUBLIC));
    invalid(t, await send('/oauth/token', { ...PUBLIC, grant_type: '' }));
    invalid(t, await send('/oauth/introspect', CONFIDENTIAL));
    invalid(t, await send('/oauth/revoke', PUBLIC));
    invalid(t, await send('/oauth/revoke', { ...PUBLIC, token: '' }));
  });

  t.test('what is no form', async (t) => {
    invalid(
      t,
      await inject({ method: 'POST', url: '/oauth/token', payload: { grant_type: 'refresh_token' } }),
      NO_FORM,
    );
    invalid(t, await inject({ method: 'POST', url: '/oauth/token' }));
    invalid(t, await send('/oauth/token', `grant_type=${'x'.repeat(20_000)}`), NO_FORM);
  });

  t.test('parameters that nobody knows do no harm', async (t) => {
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
