import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import { PASSWORD, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { post, client, keys } = service;
const register = (username: string, password = PASSWORD) => post('/auth/register', { username, password });

t.test('a registered user can log in', async (t) => {
  const reply = await register('  Ada.Lovelace ');
  t.equal(reply.statusCode, 201);
  t.match(reply.json(), { username: 'ada.lovelace', subject: /^[\w-]{22}$/ });
  t.same(Object.keys(reply.json()), ['subject', 'username']);
  t.same(setCookies(reply), [], 'registering does not log in');
  t.equal((await post('/auth/login', { username: 'ada.lovelace', password: PASSWORD })).statusCode, 200);
  t.equal(await client.pttl(keys.user(reply.json().subject)), -1, 'the record never expires');
  t.match(await client.hget(keys.user(reply.json().subject), 'password'), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
});

t.test('a taken username is 409, regardless of case', async (t) => {
  t.equal((await register('grace')).statusCode, 201);
  for (const name of ['grace', 'GRACE', ' grace', 'ｇｒａｃｅ']) {
    const reply = await register(name);
    t.equal(reply.statusCode, 409);
    t.match(reply.json(), { status: 409, code: 'username_taken' });
  }
});

t.test('concurrent registrations of one username succeed once', async (t) => {
  const replies = await Promise.all(Array.from({ length: 12 }, () => register('raced-for')));
  t.same(replies.map(({ statusCode }) => statusCode).sort(), [201, ...Array<number>(11).fill(409)]);
  const winner = replies.find(({ statusCode }) => statusCode === 201)!.json();
  t.equal(await client.get(keys.login('raced-for')), winner.subject);
  const users = (await keysUnder(client, service.config.redisPrefix)).filter((key) => key.includes(':user:'));
  const names = await Promise.all(users.map((key) => client.hget(key, 'username')));
  t.equal(names.filter((name) => name === 'raced-for').length, 1, 'the attempts that failed leave no record');
});

t.test('a password that is not allowed is 422 with the reason', async (t) => {
  const passwords = {
    too_short: 'fourteen chars',
    too_long: 'long '.repeat(205),
    malformed: `\ud800${PASSWORD}`,
    too_common: 'passwordpassword',
    is_username: 'a-username-of-some-length',
  };
  for (const [reason, password] of Object.entries(passwords)) {
    const reply = await register('a-username-of-some-length', password);
    t.equal(reply.statusCode, 422, reason);
    t.match(reply.json(), { code: 'password_not_allowed', reason });
    t.notOk(reply.body.includes(password));
  }
});

t.test('an invalid username is 400', async (t) => {
  for (const name of ['', ' ', 'two words', 'zero\u200bwidth', 'x'.repeat(255), '\u0301']) {
    const reply = await register(name);
    t.equal(reply.statusCode, 400);
    t.equal(reply.json().code, 'invalid_username');
  }
});

t.test('a closed registration is 403, whatever is sent', async (t) => {
  const closed = await startService({ registration: 'closed' }, { redis: service.redis });
  t.teardown(() => closed.close());
  for (const username of ['ada.lovelace', 'nobody-yet', 'two words']) {
    const reply = await closed.post('/auth/register', { username, password: PASSWORD });
    t.equal(reply.statusCode, 403);
    t.match(reply.json(), { status: 403, code: 'registration_closed' });
  }
  t.same(await keysUnder(client, closed.config.redisPrefix), []);
});

t.test('the minimum length of a password is configurable', async (t) => {
  const lenient = await startService({ passwordMinLength: 8 }, { redis: service.redis });
  t.teardown(() => lenient.close());
  t.equal((await lenient.post('/auth/register', { username: 'x', password: 'xk7 qq9z' })).statusCode, 201);
});
