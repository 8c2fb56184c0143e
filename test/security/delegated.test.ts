import t from 'tap';
import { bearer, browser, PASSWORD, startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, post, inject, store, mint } = service;

/** Mints a session that was issued to an OAuth client. */
const mintForClient = (subject: string) =>
  mint(subject, { identity: { subject, methods: ['pwd'], client: 'spa', scope: 'orders:read' } });

t.test('a session issued to an OAuth client cannot act on the account of its user', async (t) => {
  const { subject, username } = await service.register();
  const other = await mint(subject);
  const tokens = await mintForClient(subject);
  const { refresh } = tokens.pair;
  const attempts = {
    'see its sessions': (headers: Record<string, string>) => get('/auth/sessions', headers),
    'end another session': (headers: Record<string, string>) =>
      inject({ method: 'DELETE', url: `/auth/sessions/${other.principal.sessionId}`, headers }),
    'end all of them': (headers: Record<string, string>) => post('/auth/logout', { scope: 'all' }, headers),
    'end the others': (headers: Record<string, string>) => post('/auth/logout', { scope: 'others' }, headers),
    'change the password': (headers: Record<string, string>) =>
      post('/auth/password', { current_password: PASSWORD, new_password: 'an entirely different passphrase' }, headers),
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    for (const [how, headers] of Object.entries({ 'by bearer': bearer(tokens), 'in a cookie': browser(tokens) })) {
      const reply = await attempt(headers);
      t.equal(reply.statusCode, 403, `${what}, ${how}`);
      t.match(reply.json(), { code: 'insufficient_scope' });
      t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey", error="insufficient_scope"');
    }
  }
  t.match(
    (await post('/auth/logout', { scope: 'all', refresh_token: refresh.token })).json(),
    { code: 'insufficient_scope' },
    'its refresh token cannot end the sessions either',
  );
  t.equal((await store.list(subject)).length, 2, 'no session ended');
  t.equal((await post('/auth/login', { username, password: PASSWORD })).statusCode, 200, 'the password is unchanged');
});

t.test('a session issued to an OAuth client is authenticated like any other and can end itself', async (t) => {
  const { subject } = await service.register();
  const other = await mint(subject);
  const tokens = await mintForClient(subject);
  t.match((await get('/auth/session', bearer(tokens))).json(), { subject, client_id: 'spa', scope: 'orders:read' });
  t.equal((await get('/auth/verify', bearer(tokens))).statusCode, 200);
  t.equal((await post('/auth/logout', { scope: 'session' }, bearer(tokens))).statusCode, 204);
  t.same(
    (await store.list(subject)).map(({ sessionId }) => sessionId),
    [other.principal.sessionId],
  );
});

t.test('the pages treat a session issued to an OAuth client as not logged in', async (t) => {
  const tokens = await mintForClient('host-7');
  const account = await get('/account', browser(tokens, 'access'));
  t.equal(account.statusCode, 303);
  t.equal(account.headers['location'], '/auth/continue?to=%2Faccount');
  t.equal((await get('/login', browser(tokens, 'access'))).statusCode, 200);
  const form = await inject({
    method: 'POST',
    url: '/auth/form/logout',
    headers: {
      ...browser(tokens),
      'content-type': 'application/x-www-form-urlencoded',
      'sec-fetch-site': 'same-origin',
    },
    payload: 'scope=all',
  });
  t.equal(form.statusCode, 403);
  t.equal((await store.list('host-7')).length, 1);
});
