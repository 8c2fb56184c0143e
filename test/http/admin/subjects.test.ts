import t from 'tap';
import { newSubject } from '../../sessions/fixture.js';
import { PASSWORD } from '../../support/service.js';
import { startAdmin } from './support.js';

const admin = await startAdmin();
t.teardown(admin.close);
const { ask, events, get, post, register } = admin;

t.test('disabling a user invalidates all tokens before the reply; enabling lets the user log in again', async (t) => {
  const { subject, username } = await register('ada');
  const logIn = () => post('/auth/login', { username, password: PASSWORD, transport: 'bearer' });
  const tokens = (await logIn()).json();
  t.match((await ask('GET', `/subjects/${subject}`)).json(), { subject, username, created_at: Number });

  const [before] = await admin.client.time();
  const reply = await ask('POST', `/subjects/${subject}/disable`);
  const [after] = await admin.client.time();
  t.equal(reply.statusCode, 200);
  const { disabled_at } = reply.json();
  t.ok(disabled_at >= Number(before) && disabled_at <= Number(after), 'in seconds, by Redis’s clock');
  t.match(events.at(-1), { event: 'disable', outcome: 'success', actor: 'all', subject });
  t.equal((await get('/auth/session', { authorization: `Bearer ${tokens.access_token}` })).statusCode, 401);
  t.match((await post('/auth/refresh', { refresh_token: tokens.refresh_token })).json(), {
    status: 403,
    reason: 'revoked',
  });
  t.match((await logIn()).json(), { status: 401, code: 'invalid_credentials' }, 'as with a wrong password');
  t.match((await ask('POST', '/sessions', { subject })).json(), { status: 409, code: 'subject_disabled' });
  t.match((await ask('GET', `/subjects/${subject}`)).json(), { username, disabled_at });
  t.match((await ask('GET', '/users?username=ada')).json(), { users: [{ subject, username, disabled_at }] });

  t.equal((await ask('POST', `/subjects/${subject}/enable`)).statusCode, 204);
  t.match(events.at(-1), { event: 'enable', outcome: 'success', actor: 'all', subject });
  t.notOk('disabled_at' in (await ask('GET', `/subjects/${subject}`)).json());
  t.equal((await logIn()).statusCode, 200);
});

t.test('a login during which its user is disabled starts no session', async (t) => {
  const { subject, username } = await register();
  await admin.afterCommand(['hmget', subject], () => ask('POST', `/subjects/${subject}/disable`));
  const reply = await post('/auth/login', { username, password: PASSWORD, transport: 'bearer' });
  t.equal(reply.statusCode, 401);
  t.same((await ask('GET', `/subjects/${subject}/sessions`)).json(), { sessions: [] });
});

t.test('a subject without a user account can be disabled', async (t) => {
  const subject = newSubject();
  const { access_token } = (await ask('POST', '/sessions', { subject })).json();
  t.strictSame((await ask('GET', `/subjects/${subject}`)).json(), { subject });
  await ask('POST', `/subjects/${subject}/disable`);
  t.equal((await get('/auth/session', { authorization: `Bearer ${access_token}` })).statusCode, 401);
  t.match((await ask('POST', '/sessions', { subject })).json(), { code: 'subject_disabled' });
  t.match((await ask('GET', `/subjects/${subject}`)).json(), { subject, disabled_at: Number });
  await ask('POST', `/subjects/${subject}/enable`);
  t.equal((await ask('POST', '/sessions', { subject })).statusCode, 201);
});

t.test('users are found by the beginning of their usernames', async (t) => {
  const zoe = await register('zoe');
  await register('zora');
  const found = (await ask('GET', '/users?username=ZO')).json();
  t.same(found.users.map(({ username }: { username: string }) => username).sort(), ['zoe', 'zora']);
  t.notOk('cursor' in found);
  t.match((await ask('GET', '/users?username=zoe')).json().users, [{ ...zoe, created_at: Number }]);
  t.same((await ask('GET', '/users?username=zz')).json(), { users: [] });
  t.ok((await ask('GET', '/users')).json().users.length >= 3);
  t.match((await ask('GET', '/users?username=z&cursor=x')).json(), { status: 400, code: 'invalid_cursor' });
  t.match((await ask('GET', '/users?name=z')).json(), { status: 400, code: 'invalid_request' });

  await admin.client.mset(...Array.from({ length: 5000 }, (_, i) => [`stray:${i}`, '']).flat());
  const names = new Set<string>();
  for (let cursor = ''; ;) {
    const part = (await ask('GET', `/users?username=zo${cursor && `&cursor=${cursor}`}`)).json();
    for (const { username } of part.users) names.add(username);
    if (part.cursor === undefined) break;
    cursor = part.cursor;
  }
  t.same([...names].sort(), ['zoe', 'zora'], 'batch by batch');
});
