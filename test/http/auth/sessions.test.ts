import { createHash } from 'node:crypto';
import t from 'tap';
import { partitionOf } from '../../../src/redis/keys.js';
import { bearer, browser, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, post, inject, mint } = service;
const end = (id: string, headers: Record<string, string>) =>
  inject({ method: 'DELETE', url: `/auth/sessions/${encodeURIComponent(id)}`, headers });
const alive = async (tokens: Awaited<ReturnType<typeof mint>>) =>
  (await get('/auth/session', bearer(tokens))).statusCode === 200;

t.test('the sessions of the user are listed, the requesting one marked', async (t) => {
  const phone = await mint('me', {
    origin: { device: 'Safari 19 · iOS', address: '2001:db8::1' },
    authenticatedAt: 1_700_000_000_999,
  });
  const laptop = await mint('me');
  const reply = await get('/auth/sessions', bearer(laptop));
  t.equal(reply.statusCode, 200);
  const { sessions } = reply.json<{ sessions: { id: string }[] }>();
  t.equal(sessions.length, 2);
  const device = sessions.find(({ id }) => id === phone.principal.sessionId)!;
  t.match(device, {
    current: false,
    device: 'Safari 19 · iOS',
    address: '2001:db8::1',
    methods: ['pwd'],
    authenticated_at: 1_700_000_000,
  });
  t.match(device, { created_at: Number, renewed_at: Number, ends_at: Number });
  const own = sessions.find(({ id }) => id === laptop.principal.sessionId) as unknown as Record<string, number>;
  t.equal(own.current, true);
  t.equal(own.ends_at! - own.created_at!, 90 * 86_400);
  t.equal(own.renewed_at, own.created_at);
  t.same(Object.keys(own), [
    'id',
    'current',
    'device',
    'address',
    'methods',
    'authenticated_at',
    'created_at',
    'renewed_at',
    'ends_at',
  ]);
});

t.test('a session that its user ends tells why when it refreshes', async (t) => {
  const phone = await mint();
  const laptop = await mint(phone.principal.subject);
  const reply = await end(phone.principal.sessionId, browser(laptop));
  t.equal(reply.statusCode, 204);
  t.equal(reply.body, '');
  t.same(setCookies(reply), [], 'the cookies of this device stay');
  t.notOk(await alive(phone));
  t.ok(await alive(laptop));
  t.equal(
    (await post('/auth/refresh', { refresh_token: phone.pair.refresh.token })).json().reason,
    'logged_out_elsewhere',
  );
  t.equal((await end(phone.principal.sessionId, browser(laptop))).statusCode, 404, 'and ends once');
});

t.test('ending the requesting session works like a logout', async (t) => {
  const tokens = await mint();
  const reply = await end(tokens.principal.sessionId, browser(tokens));
  t.equal(reply.statusCode, 204);
  t.same(
    setCookies(reply).map(({ attributes }) => attributes['max-age']),
    ['0', '0'],
  );
  t.equal((await post('/auth/refresh', { refresh_token: tokens.pair.refresh.token })).json().reason, 'logged_out');
});

t.test('the session of another user is not found and goes on', async (t) => {
  const mine = await mint();
  const theirs = await mint();
  const reply = await end(theirs.principal.sessionId, bearer(mine));
  t.equal(reply.statusCode, 404);
  t.equal(reply.json().code, 'not_found');
  t.ok(await alive(theirs));
});

t.test('the session of another user in the same partition is not found either', async (t) => {
  const mine = await mint('subject-0');
  const partition = partitionOf('subject-0');
  let neighbour = '';
  for (let i = 1; partitionOf(neighbour) !== partition; i++)
    neighbour = createHash('sha256').update(String(i)).digest('hex');
  const theirs = await mint(neighbour);
  t.equal(theirs.pair.refresh.partition, mine.pair.refresh.partition);
  t.equal((await end(theirs.principal.sessionId, bearer(mine))).statusCode, 404);
  t.ok(await alive(theirs));
  t.equal((await get('/auth/sessions', bearer(mine))).json().sessions.length, 1);
});

t.test('an invalid session id is refused', async (t) => {
  const tokens = await mint();
  for (const id of ['x', '*', '{0000}:session:x', '../session', '\u0000', 'é'])
    t.equal((await end(id, bearer(tokens))).statusCode, 404, id);
  t.equal((await end('x'.repeat(65), bearer(tokens))).statusCode, 400);
  t.equal((await end('x'.repeat(101), bearer(tokens))).statusCode, 404);
  t.equal((await inject({ method: 'DELETE', url: '/auth/sessions/', headers: bearer(tokens) })).statusCode, 404);
  t.ok(await alive(tokens));
});

t.test('listing and ending sessions need a session', async (t) => {
  t.equal((await get('/auth/sessions')).statusCode, 401);
  t.equal((await end('x', {})).statusCode, 401);
});
