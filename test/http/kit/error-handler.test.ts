import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { clientErrorHandler } from '../../../src/http/kit/error-handler.js';
import { problems } from '../../../src/http/kit/problem.js';
import { ACCESS_COOKIE, bearer, PASSWORD, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { inject, post, get, mint, client, keys } = service;
const JSON_TYPE = { 'content-type': 'application/json' };
const POST_ROUTES = ['/auth/register', '/auth/login', '/auth/refresh', '/auth/logout', '/auth/password'];
const session = bearer(await mint());

/** Asserts that a reply is a problem that no cache stores, and sets no cookie. */
const assertProblem = (t: Tap, reply: Awaited<ReturnType<typeof get>>, status: number, code: string) => {
  t.equal(reply.statusCode, status, code);
  t.equal(reply.headers['content-type'], 'application/problem+json');
  t.equal(reply.headers['cache-control'], 'no-store');
  t.match(reply.json(), { status, code, title: String, detail: String });
  t.equal(reply.headers['set-cookie'], undefined);
};
type Tap = { equal: typeof t.equal; match: typeof t.match };

t.test('malformed JSON is 400 on every route that reads a body', async (t) => {
  for (const url of POST_ROUTES) {
    for (const payload of ['{', '{"a":1,}', "{'a':1}", '{"a":NaN}', '\u0000', '{}{}', '[1', '"']) {
      assertProblem(t, await post(url, payload, { ...JSON_TYPE, ...session }), 400, 'invalid_request');
    }
  }
});

t.test('a body that is not an object, or has a field of the wrong type, is 400 and names the field', async (t) => {
  for (const url of POST_ROUTES) {
    for (const payload of ['null', '[]', '"text"', '1', 'true']) {
      const reply = await post(url, payload, { ...JSON_TYPE, ...session });
      assertProblem(t, reply, 400, 'invalid_request');
      t.match(reply.json(), {
        detail: 'body: Expected object.',
        errors: [{ field: 'body', detail: 'Expected object' }],
      });
    }
  }
  const invalid: [string, object, string[]][] = [
    ['/auth/login', {}, ['body.username', 'body.password']],
    ['/auth/login', { username: 1, password: ['x'] }, ['body.username', 'body.password']],
    ['/auth/login', { username: 'a', password: 'b', transport: 'pigeon' }, ['body.transport']],
    ['/auth/register', { username: null, password: { toString: 'x' } }, ['body.username', 'body.password']],
    ['/auth/refresh', { refresh_token: 5 }, ['body.refresh_token']],
    ['/auth/logout', { scope: null }, ['body.scope']],
    ['/auth/password', { current_password: true }, ['body.new_password', 'body.current_password']],
  ];
  for (const [url, payload, fields] of invalid) {
    const reply = await post(url, payload, session);
    assertProblem(t, reply, 400, 'invalid_request');
    t.same(
      reply
        .json<{ errors: { field: string }[] }>()
        .errors.map(({ field }) => field)
        .sort(),
      fields.sort(),
    );
  }
});

t.test('a number is refused where a string is expected: nothing is converted', async (t) => {
  assertProblem(t, await post('/auth/login', { username: 12345, password: PASSWORD }), 400, 'invalid_request');
});

t.test('unknown properties are refused, and their names are not echoed', async (t) => {
  for (const [url, body] of [
    ['/auth/register', { username: 'x', password: PASSWORD }],
    ['/auth/login', { username: 'x', password: PASSWORD }],
    ['/auth/refresh', {}],
    ['/auth/logout', {}],
    ['/auth/password', { current_password: PASSWORD, new_password: PASSWORD }],
  ] as const) {
    const reply = await post(url, { ...body, correcthorse: 1, 'a/b~c': 2 }, session);
    assertProblem(t, reply, 400, 'invalid_request');
    t.same(reply.json().errors, [{ field: 'body', detail: 'Unexpected property' }]);
    t.notMatch(reply.body, /correcthorse|a\/b/);
  }
});

t.test('each refusal of a body, query or cookie says what is wrong', async (t) => {
  const details = async (url: string, payload: object) => (await post(url, payload)).json<{ detail: string }>().detail;
  t.match(
    await details('/auth/register', { username: 'a b', password: PASSWORD }),
    /^A username is 1 to 254 visible characters/,
  );
  t.match(
    await details('/auth/register', { username: 'ada', password: 'x' }),
    'The password is shorter than 15 characters.',
  );
  const unknown = await get('/auth/continue?from=x');
  t.match(unknown.json(), {
    detail: 'query: Unexpected property.',
    errors: [{ field: 'query', detail: 'Unexpected property' }],
  });
  t.match((await get('/auth/continue?to=//x')).json(), {
    detail: 'query.to: must be a path on this site, such as /account.',
  });
  const twice = await get('/auth/session', { cookie: `${ACCESS_COOKIE}=a; ${ACCESS_COOKIE}=b` });
  t.equal(twice.json().detail, `The cookie ${ACCESS_COOKIE} appears twice.`);
  const alike = await get('/auth/session', { cookie: `${ACCESS_COOKIE.toLowerCase()}=a` });
  t.equal(alike.json().detail, `A cookie has a name similar to ${ACCESS_COOKIE}.`);
});

t.test('prototype poisoning is 400', async (t) => {
  for (const url of POST_ROUTES) {
    for (const payload of [
      '{"__proto__":{"scope":"all"}}',
      '{"constructor":{"prototype":{"x":1}}}',
      '{"refresh_token":{"__proto__":1}}',
    ]) {
      assertProblem(t, await post(url, payload, { ...JSON_TYPE, ...session }), 400, 'invalid_request');
    }
  }
  t.equal(({} as { scope?: string }).scope, undefined);
});

t.test('a body of 10 MB is 413', async (t) => {
  const payload = JSON.stringify({ username: 'x', password: 'x'.repeat(10 * 1024 * 1024) });
  for (const url of POST_ROUTES)
    assertProblem(t, await post(url, payload, { ...JSON_TYPE, ...session }), 413, 'payload_too_large');

  const headers = { ...JSON_TYPE, 'transfer-encoding': 'chunked' };
  assertProblem(
    t,
    await inject({
      method: 'POST',
      url: '/auth/login',
      headers,
      payload: Readable.from(Array<string>(100).fill(' '.repeat(1024))),
    }),
    413,
    'payload_too_large',
  );
});

t.test('a content type other than JSON is 415', async (t) => {
  for (const url of POST_ROUTES) {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/jsonp',
      'text/json',
      'x',
      '',
    ]) {
      assertProblem(t, await post(url, '{}', { 'content-type': type, ...session }), 415, 'unsupported_media_type');
    }
  }
  t.equal(
    (await post('/auth/refresh', '{}', { 'content-type': 'Application/JSON; charset=utf-8' })).json().reason,
    'missing',
  );
});

t.test('a missing body is 400, or an empty object if every field is optional', async (t) => {
  for (const url of ['/auth/register', '/auth/login', '/auth/password']) {
    assertProblem(t, await post(url, undefined, session), 400, 'invalid_request');
    assertProblem(t, await post(url, '', { ...JSON_TYPE, ...session }), 400, 'invalid_request');
  }
  assertProblem(t, await post('/auth/refresh'), 403, 'reauthentication_required');
  t.equal((await post('/auth/logout', undefined, bearer(await mint()))).statusCode, 204);
});

t.test('an unknown path or method is 404', async (t) => {
  for (const [method, url] of [
    ['GET', '/'],
    ['GET', '/auth'],
    ['GET', '/auth/'],
    ['GET', '/auth/login'],
    ['POST', '/auth/session'],
    ['PUT', '/auth/login'],
    ['PATCH', '/auth/sessions/x'],
    ['OPTIONS', '/auth/login'],
    ['HEAD', '/auth/login'],
    ['GET', '/auth/session/'],
    ['GET', '/AUTH/session'],
    ['GET', '//auth/session'],
    ['POST', '/nowhere'],
  ] as const) {
    const reply = await inject({ method, url, headers: session });
    t.equal(reply.statusCode, 404, `${method} ${url}`);
    t.equal(reply.headers['cache-control'], 'no-store');
    if (method !== 'HEAD') assertProblem(t, reply, 404, 'not_found');
  }
});

t.test('HEAD replies like GET, without the body', async (t) => {
  for (const url of ['/auth/session', '/auth/sessions', '/auth/verify']) {
    const head = await inject({ method: 'HEAD', url, headers: session });
    t.equal(head.statusCode, 200);
    t.equal(head.body, '');
    t.equal((await inject({ method: 'HEAD', url })).statusCode, 401);
  }
});

t.test('a path that cannot be decoded, or has too long a parameter, gets a problem', async (t) => {
  const undecodable = await get('/auth/%zz-secret');
  assertProblem(t, undecodable, 400, 'invalid_request');
  t.notMatch(undecodable.body, 'secret');
  assertProblem(
    t,
    await inject({ method: 'DELETE', url: `/auth/sessions/${'x'.repeat(5_000)}`, headers: session }),
    404,
    'not_found',
  );
});

t.test('no reply may be stored by a cache', async (t) => {
  const { username } = await service.register();
  const replies = [
    await post('/auth/register', { username: 'cached', password: PASSWORD }),
    await post('/auth/login', { username, password: PASSWORD }),
    await post('/auth/login', { username, password: 'not the password at all' }),
    await get('/auth/session', session),
    await get('/auth/session'),
    await post('/auth/refresh', { refresh_token: (await mint()).pair.refresh.token }),
    await post('/auth/refresh'),
    await get('/auth/continue'),
    await post('/auth/logout', {}, bearer(await mint())),
    await get('/auth/sessions', session),
    await inject({ method: 'DELETE', url: '/auth/sessions/x', headers: session }),
    await get('/auth/verify', session),
    await get('/nowhere'),
    await service.internal.inject('/livez'),
    await service.internal.inject('/readyz'),
    await service.internal.inject('/nowhere'),
  ];
  t.same(
    replies.map(({ statusCode }) => statusCode),
    [201, 200, 401, 200, 401, 200, 403, 303, 204, 200, 404, 200, 404, 200, 200, 404],
  );
  for (const reply of replies) t.equal(reply.headers['cache-control'], 'no-store');
});

t.test('an unexpected error is 500 and reveals nothing', async (t) => {
  const { subject, username } = await service.register();
  await client.hset(keys.user(subject), 'password', 'not a hash');
  const reply = await post('/auth/login', { username, password: PASSWORD });
  assertProblem(t, reply, 500, 'internal_error');
  t.same(reply.json(), {
    title: 'Internal Server Error',
    status: 500,
    code: 'internal_error',
    detail: problems.internal_error.detail,
  });

  const tokens = await mint();
  await client.set(keys.sessions(tokens.principal.subject), 'no set');
  assertProblem(t, await post('/auth/refresh', { refresh_token: tokens.pair.refresh.token }), 500, 'internal_error');
});

t.test('bytes that are not HTTP get an HTTP reply that does not echo them', async (t) => {
  const { hostname, port } = new URL(service.url);
  const send = async (bytes: string) => {
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.write(bytes);
    return text(socket);
  };
  const nonsense = await send('hello, my token is lka_secret\r\n\r\n');
  t.match(nonsense, /^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json\r\n/);
  t.match(nonsense, /\r\ncache-control: no-store\r\n/);
  t.match(nonsense, /\r\n\r\n\{"title":"Bad Request","status":400,"code":"invalid_request",/);
  t.notMatch(nonsense, 'secret');
  const headers = await send(`GET / HTTP/1.1\r\nhost: x\r\ncookie: ${'x'.repeat(20_000)}\r\n\r\n`);
  t.match(headers, /^HTTP\/1\.1 431 .*\r\n\r\n\{.*"code":"headers_too_large"/s);
  t.match(
    await send('GET /auth/session HTTP/1.1\r\nconnection: close\r\n\r\n'),
    /^HTTP\/1\.1 400 /,
    'a request without a host',
  );
  t.equal((await fetch(`${service.url}/auth/session`)).status, 401, 'the service goes on');
});

t.test('a client that disconnects while its password is verified does not disturb other requests', async (t) => {
  const [staying, leaving] = [await service.register(), await service.register()];
  const gone = new AbortController();
  await service.afterCommand(['hmget', keys.user(leaving.subject)], async () => gone.abort());
  // Their hashes make the other request wait for its turn.
  const busy = Array.from({ length: 4 }, () => post('/auth/login', { username: staying.username, password: PASSWORD }));
  const request = fetch(`${service.url}/auth/login`, {
    method: 'POST',
    headers: JSON_TYPE,
    body: JSON.stringify({ username: leaving.username, password: PASSWORD }),
    signal: gone.signal,
  });
  await t.rejects(request, { name: 'AbortError' });
  for (const reply of await Promise.all(busy)) t.equal(reply.statusCode, 200);
});

t.test('an empty access cookie is an invalid token', async (t) => {
  assertProblem(t, await get('/auth/session', { cookie: `${ACCESS_COOKIE}=` }), 401, 'invalid_token');
});

t.test('nothing is written to a connection that is closed', async (t) => {
  const gone = new Socket().destroy();
  clientErrorHandler(new Error('Parse Error'), gone);
  t.equal(gone.bytesWritten, 0);
});
