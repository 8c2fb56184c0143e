import t from 'tap';
import { PasswordHasher } from '../../../src/identity/password-hasher.js';
import { bearer, browser, CookieJar, PASSWORD, setCookies, startService } from '../../support/service.js';

const NEW = 'an entirely different passphrase';

const service = await startService();
t.teardown(() => service.close());
const { post, get, mint, client, keys, store, sessionStatus } = service;
const change = (headers: Record<string, string>, current_password = PASSWORD, new_password = NEW) =>
  post('/auth/password', { current_password, new_password }, headers);
/** The credential of a login that has verified the current password. */
const verifiedLogin = async (subject: string) => ({ credential: (await client.hget(keys.user(subject), 'password'))! });

t.test('a password change ends every session and gives this device a new one', async (t) => {
  const { subject, username } = await service.register();
  const before = await verifiedLogin(subject);
  const own = await mint(subject, before);
  const other = await mint(subject, before);
  const reply = await change(browser(own));
  t.equal(reply.statusCode, 200);
  t.notMatch(reply.body, /lk[ar]_/);
  const { session } = reply.json();
  t.not(session.session_id, own.principal.sessionId);
  t.match(session, { subject, username, methods: ['pwd'] });

  for (const tokens of [own, other]) {
    t.equal(await sessionStatus(tokens), 401);
    t.equal(
      (await post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).json().reason,
      'password_changed',
    );
  }
  const jar = new CookieJar();
  jar.keep(reply);
  t.equal((await get('/auth/session', jar.headers('/auth/session'))).json().session_id, session.session_id);
  t.equal((await post('/auth/refresh', {}, jar.headers('/auth/refresh'))).statusCode, 200);
  t.equal((await store.list(subject)).length, 1);

  t.equal(
    (await post('/auth/login', { username, password: PASSWORD })).statusCode,
    401,
    'the old password no longer logs in',
  );
  t.equal((await post('/auth/login', { username, password: NEW })).statusCode, 200);
  await t.rejects(
    mint(subject, before),
    { code: 'stale_credential' },
    'a login that verified the old password issues no session',
  );
});

t.test(
  'the session after a password change holds the new authentication and the data of the application',
  async (t) => {
    const { subject, username } = await service.register();
    const data = { theme: 'dark', oidc: { provider: 'acme', sid: '7' } };
    const tokens = await mint(subject, {
      identity: { subject, username, methods: ['federated', 'otp'], scope: 'orders:read', data },
    });
    const { session } = (await change(bearer(tokens))).json();
    t.strictSame(session.methods, ['pwd']);
    t.strictSame(session.data, data);
    t.equal(session.scope, 'orders:read');
    t.ok(session.authenticated_at >= Math.floor(tokens.principal.authenticatedAt / 1000));
  },
);

t.test('a bearer client gets the tokens after a password change in the body', async (t) => {
  const { subject } = await service.register();
  const reply = await change(bearer(await mint(subject)));
  t.same(setCookies(reply), []);
  const { access_token } = reply.json();
  t.equal((await get('/auth/session', { authorization: `Bearer ${access_token}` })).statusCode, 200);
});

t.test('a wrong current password is 401 and changes nothing', async (t) => {
  const { subject } = await service.register();
  const tokens = await mint(subject);
  const reply = await change(browser(tokens), 'not the password at all');
  t.equal(reply.statusCode, 401);
  t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey"');
  t.match(reply.json(), { code: 'invalid_credentials', detail: 'The current password is wrong.' });
  t.same(setCookies(reply), []);
  t.equal(await sessionStatus(tokens), 200);
});

t.test('a new password that is not allowed is 422 and changes nothing', async (t) => {
  const { subject, username } = await service.register('a-name-of-fifteen');
  const tokens = await mint(subject);
  for (const [password, reason] of [
    ['too short', 'too_short'],
    [username, 'is_username'],
    ['passwordpassword', 'too_common'],
  ] as const) {
    const reply = await change(browser(tokens), PASSWORD, password);
    t.equal(reply.statusCode, 422);
    t.match(reply.json(), { code: 'password_not_allowed', reason });
  }
  t.equal(await sessionStatus(tokens), 200);
});

t.test('a password change is 401 if another one came first, which stays', async (t) => {
  const { subject } = await service.register();
  const tokens = await mint(subject);
  const key = keys.user(subject);
  const another = await new PasswordHasher().hash('the password that another device has set');
  await service.afterCommand(['hmget', key], () => client.hset(key, 'password', another));
  const reply = await change(bearer(tokens));
  t.equal(reply.statusCode, 401);
  t.match(reply.json(), { code: 'invalid_credentials' });
  t.equal(reply.headers['www-authenticate'], 'Bearer realm="latchkey"');
  t.equal(await client.hget(key, 'password'), another);
  t.equal(await sessionStatus(tokens), 200, 'the session goes on');
});

t.test('one of two concurrent password changes succeeds, and one session is left', async (t) => {
  const { subject, username } = await service.register();
  const [one, other] = [await mint(subject), await mint(subject)];
  const replies = await Promise.all([
    change(bearer(one), PASSWORD, `${NEW} one`),
    change(bearer(other), PASSWORD, `${NEW} other`),
  ]);
  t.same(replies.map(({ statusCode }) => statusCode).sort(), [200, 401]);
  const winner = replies[0].statusCode === 200 ? 'one' : 'other';
  t.equal((await store.list(subject)).length, 1);
  t.equal((await post('/auth/login', { username, password: `${NEW} ${winner}` })).statusCode, 200);
});

t.test('a user without a password cannot change it', async (t) => {
  const tokens = await mint('subject-of-another-app');
  t.equal((await change(bearer(tokens))).statusCode, 401);
  t.equal(await sessionStatus(tokens), 200);
});

t.test('a password change needs a session', async (t) => {
  t.equal((await change({})).json().code, 'authentication_required');
});
