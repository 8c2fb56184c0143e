import t from 'tap';
import { newSubject } from '../../sessions/fixture.js';
import { findKeysWithoutExpiry } from '../../support/audit.js';
import { startAdmin } from './support.js';

const admin = await startAdmin();
t.teardown(admin.close);
const { ask, sessionsOf, events, get, post } = admin;

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

t.test('the admin API mints a session with every field', async (t) => {
  const subject = 'tenant/7:ada {x} é';
  const reply = await ask('POST', '/sessions', {
    subject,
    username: 'ada',
    methods: ['otp', 'hwk'],
    authenticated_at: 1_700_000_000,
    scope: 'read write',
    data: { plan: 'x' },
    device: 'Kiosk 4',
    address: '192.0.2.7',
    lifetime_seconds: 600,
  });
  t.equal(reply.statusCode, 201);
  const body = reply.json();
  t.match(body, {
    token_type: 'Bearer',
    expires_in: 600,
    refresh_expires_in: 600,
    access_token: /^lka_/,
    refresh_token: /^lkr_/,
  });
  const fields = {
    subject,
    username: 'ada',
    methods: ['otp', 'hwk'],
    authenticated_at: 1_700_000_000,
    scope: 'read write',
    data: { plan: 'x' },
  };
  t.match(body.session, fields);
  t.match((await get('/auth/session', bearer(body.access_token))).json(), fields, 'the public listener accepts it');
  t.equal((await post('/auth/refresh', { refresh_token: body.refresh_token })).statusCode, 200);

  const { session_id: id } = body.session;
  const listed = (await ask('GET', sessionsOf(subject))).json().sessions;
  t.match(listed, [{ id, ...fields, device: 'Kiosk 4', generation: 2 }]);
  t.equal(listed[0].ends_at - listed[0].created_at, 600);
  t.strictSame((await ask('GET', `${sessionsOf(subject)}/${id}`)).json(), listed[0]);
  t.match(events.at(-2), {
    event: 'session_mint',
    outcome: 'success',
    actor: 'all',
    subject,
    sessionId: id,
    address: '127.0.0.1',
  });
  t.same(await findKeysWithoutExpiry(admin.client, admin.config.redisPrefix), []);
});

t.test('minting a session needs only a subject', async (t) => {
  const subject = newSubject();
  const { session, expires_in } = (await ask('POST', '/sessions', { subject, client_id: 'mobile' })).json();
  t.equal(expires_in, 900);
  t.match(session, { subject, methods: [], client_id: 'mobile' });
  t.match((await ask('GET', `${sessionsOf(subject)}/${session.session_id}`)).json(), {
    device: 'unknown',
    address: 'unknown',
    client_id: 'mobile',
  });
  t.match(
    (await ask('POST', '/sessions', { subject, lifetime_seconds: 10 * 365 * 86_400 })).json().refresh_expires_in,
    30 * 86_400,
  );
});

t.test('an invalid mint request is refused with its reason', async (t) => {
  const refused: [object, number, string][] = [
    [{}, 400, 'invalid_request'],
    [{ subject: '' }, 400, 'invalid_subject'],
    [{ subject: 'é'.repeat(128) }, 400, 'invalid_subject'],
    [{ subject: 'a', sessionId: 'x' }, 400, 'invalid_request'],
    [{ subject: 'a', lifetime_seconds: 0 }, 400, 'invalid_request'],
    [{ subject: 'a', lifetime_seconds: 1.5 }, 400, 'invalid_request'],
    [{ subject: 'a', authenticated_at: -1 }, 400, 'invalid_request'],
    [{ subject: 'a', data: [] }, 400, 'invalid_request'],
    [{ subject: 'a', data: { a: 'x'.repeat(2048) } }, 422, 'invalid_session_data'],
    [{ subject: 'a', data: { a: '\ud800' } }, 422, 'invalid_session_data'],
    [{ subject: '\ud800' }, 400, 'invalid_subject'],
    [{ subject: 'a', scope: '\ud800' }, 400, 'invalid_request'],
    [{ subject: 'a', username: 'a\udfff' }, 400, 'invalid_request'],
    [{ subject: 'a', methods: ['pwd', '\ud83d'] }, 400, 'invalid_request'],
    [{ subject: 'a', client_id: '\udc00' }, 400, 'invalid_request'],
  ];
  for (const [body, status, code] of refused) t.match((await ask('POST', '/sessions', body)).json(), { status, code });
  const proto = {
    method: 'POST',
    url: '/admin/sessions',
    headers: { ...bearer(admin.all), 'content-type': 'application/json' },
  } as const;
  t.equal(
    (await admin.internal.inject({ ...proto, payload: '{"subject":"a","data":{"__proto__":{"a":1}}}' })).statusCode,
    400,
  );
  t.equal(
    (await admin.internal.inject({ ...proto, headers: bearer(admin.all), payload: 'subject=a' })).statusCode,
    415,
  );
});

t.test('session data is patched field by field, and concurrent patches are all kept', async (t) => {
  const subject = newSubject();
  const tokens = (await ask('POST', '/sessions', { subject, data: { plan: 'x', nested: { a: 1, b: 2 } } })).json();
  const path = `${sessionsOf(subject)}/${tokens.session.session_id}`;
  const reply = await ask('PATCH', path, { data: { plan: null, nested: { b: null }, seat: 4 } });
  t.strictSame(reply.json(), { data: { nested: { a: 1 }, seat: 4 } });
  t.match(events.at(-1), { event: 'session_update', outcome: 'success', actor: 'all', subject });
  t.strictSame(
    (await get('/auth/session', bearer(tokens.access_token))).json().data,
    { nested: { a: 1 }, seat: 4 },
    'the public listener sees it at once',
  );

  await Promise.all(Array.from({ length: 32 }, (_, i) => ask('PATCH', path, { data: { [`f${i}`]: i } })));
  t.equal(Object.keys((await ask('GET', path)).json().data).length, 34);

  t.match((await ask('PATCH', path, { data: { a: 'x'.repeat(2048) } })).json(), {
    status: 422,
    code: 'invalid_session_data',
  });
  t.match((await ask('PATCH', path, { data: { a: '\ud800' } })).json(), { status: 422, code: 'invalid_session_data' });
  t.match((await ask('PATCH', path, {})).json(), { status: 400 });
  t.match((await ask('PATCH', path, { data: {}, subject: 'b' })).json(), { status: 400 });
  for (const other of [`${sessionsOf(subject)}/unknown`, `${sessionsOf(newSubject())}/${tokens.session.session_id}`]) {
    t.match((await ask('PATCH', other, { data: {} })).json(), { status: 404, code: 'not_found' });
    t.match((await ask('GET', other)).json(), { status: 404, code: 'not_found' });
    t.match((await ask('DELETE', other)).json(), { status: 404, code: 'not_found' });
  }
});

t.test('the admin API ends one session of a subject, or all of them', async (t) => {
  const subject = newSubject();
  const minted = [];
  for (let i = 0; i < 3; i++) minted.push((await ask('POST', '/sessions', { subject })).json());
  const [first, second, third] = minted;
  const alive = async (tokens: { access_token: string }) =>
    (await get('/auth/session', bearer(tokens.access_token))).statusCode === 200;

  t.equal((await ask('DELETE', `${sessionsOf(subject)}/${first.session.session_id}`)).statusCode, 204);
  t.same([await alive(first), await alive(second), await alive(third)], [false, true, true]);
  const end = {
    event: 'session_end',
    outcome: 'success',
    reason: 'revoked',
    actor: 'all',
    subject,
    address: '127.0.0.1',
  };
  t.same(events.at(-1), { ...end, sessionId: first.session.session_id });
  t.match((await post('/auth/refresh', { refresh_token: first.refresh_token })).json(), {
    status: 403,
    reason: 'revoked',
  });

  t.equal((await ask('DELETE', sessionsOf(subject))).statusCode, 204);
  t.same(events.at(-1), end);
  t.match((await post('/auth/refresh', { refresh_token: second.refresh_token })).json(), {
    status: 403,
    reason: 'revoked',
  });
  t.same([await alive(second), await alive(third)], [false, false]);
  t.same((await ask('GET', sessionsOf(subject))).json(), { sessions: [] });
  t.equal((await ask('DELETE', sessionsOf(subject))).statusCode, 204, 'ending none is no error');
});

t.test('a subject of maximum length fits into the path of a request', async (t) => {
  const subject = 'é'.repeat(127);
  t.equal((await ask('GET', sessionsOf(subject))).statusCode, 200);
  t.match((await ask('GET', sessionsOf(`${subject}é`))).json(), { status: 400, code: 'invalid_subject' });
});
