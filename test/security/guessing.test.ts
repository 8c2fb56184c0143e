import t from 'tap';
import { bearer, PASSWORD, startService, type TestService } from '../support/service.js';

const WRONG = 'not the right password';
const login = (
  service: TestService,
  username: string,
  password = WRONG,
  remoteAddress = '203.0.113.7',
  url = '/auth/login',
) => service.inject({ method: 'POST', url, payload: { username, password }, remoteAddress });

async function started(
  t: { teardown: (end: () => Promise<void>) => void },
  overrides: Parameters<typeof startService>[0] = {},
) {
  const service = await startService(overrides);
  t.teardown(() => service.close());
  return service;
}

t.test('after ten wrong passwords the right one is a 429 with Retry-After, but not from another network', async (t) => {
  const service = await started(t);
  const { username } = await service.register();
  for (let i = 0; i < 10; i++) t.equal((await login(service, username)).statusCode, 401);
  const refused = await login(service, username, PASSWORD);
  t.equal(refused.statusCode, 429);
  t.match(refused.json(), { status: 429, code: 'too_many_requests' });
  const seconds = Number(refused.headers['retry-after']);
  t.ok(seconds > 800 && seconds <= 900, `${seconds} s`);
  t.equal(refused.headers['set-cookie'], undefined);
  t.equal((await login(service, username, PASSWORD, '198.51.100.1')).statusCode, 200);
});

t.test('the response for a throttled account is the same whether it exists, is disabled or is unknown', async (t) => {
  const service = await started(t);
  const { username } = await service.register();
  const disabled = await service.register();
  await service.client.hset(service.keys.user(disabled.subject), 'disabledAt', 1);
  const answers = [];
  for (const name of [username, disabled.username, 'nobody-of-that-name']) {
    for (let i = 0; i < 10; i++) await login(service, name);
    const { statusCode, body, headers } = await login(service, name);
    const { date: _, 'retry-after': seconds, ...others } = headers;
    t.ok(Number(seconds) > 800);
    answers.push({ statusCode, body, others });
  }
  t.equal(answers[0]!.statusCode, 429);
  t.same(answers[1], answers[0]);
  t.same(answers[2], answers[0]);
});

t.test('of 500 simultaneous guesses at one account ten are verified', async (t) => {
  const service = await started(t);
  const { username } = await service.register();
  const statuses = (await Promise.all(Array.from({ length: 500 }, () => login(service, username)))).map(
    ({ statusCode }) => statusCode,
  );
  t.equal(statuses.filter((status) => status === 401).length, 10);
  t.equal(statuses.filter((status) => [429, 503].includes(status)).length, 490);
});

t.test('variants of the login path and of a username share one limit, or are a 404', async (t) => {
  const service = await started(t, { loginFailuresPerAccount: 2 });
  const { username } = await service.register('victim');
  for (let i = 0; i < 2; i++) await login(service, username);
  for (const name of ['victim', 'VICTIM', ' Victim ', 'ｖictim'])
    t.equal((await login(service, name)).statusCode, 429, name);
  for (const path of [
    '/auth//login',
    '//auth/login',
    '/auth/login/',
    '/AUTH/LOGIN',
    '/auth/login;x',
    '/auth%2flogin',
    '/auth/./login',
    '/auth/%6cogin',
    '/auth/login?x',
  ]) {
    const { statusCode } = await login(service, username, PASSWORD, '203.0.113.7', path);
    t.ok([404, 429].includes(statusCode), `${path}: ${statusCode}`);
  }
});

t.test('guesses from one IPv6 /64 share one limit', async (t) => {
  const service = await started(t, { loginFailuresPerAccount: 2 });
  const { username } = await service.register();
  for (const address of ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2']) await login(service, username, WRONG, address);
  t.equal((await login(service, username, WRONG, '2001:db8:0:1::3')).statusCode, 429);
  t.equal((await login(service, username, WRONG, '2001:db8:0:2::3')).statusCode, 401);
});

t.test('guesses at the current password of a change and at the login share one limit', async (t) => {
  const service = await started(t, { loginFailuresPerAccount: 3 });
  const { username } = await service.register();
  const body = { username, password: PASSWORD, transport: 'bearer' };
  const { access_token } = (await service.post('/auth/login', body)).json();
  const change = (current_password: string) =>
    service.post(
      '/auth/password',
      { current_password, new_password: 'another good passphrase' },
      { authorization: `Bearer ${access_token}` },
    );
  for (let i = 0; i < 2; i++) t.equal((await change(WRONG)).statusCode, 401);
  t.equal((await login(service, username, WRONG, '127.0.0.1')).statusCode, 401);
  t.equal((await change(PASSWORD)).statusCode, 429);
  t.equal((await login(service, username, PASSWORD, '127.0.0.1')).statusCode, 429);
});

t.test('guesses at the current password of a subject without a username are throttled', async (t) => {
  const service = await started(t, { loginFailuresPerAccount: 2 });
  const { subject } = await service.register();
  const tokens = await service.mint(subject, { identity: { subject, methods: ['pwd'] } });
  const guess = () =>
    service.post(
      '/auth/password',
      { current_password: WRONG, new_password: 'another good passphrase' },
      bearer(tokens),
    );
  t.same([(await guess()).statusCode, (await guess()).statusCode, (await guess()).statusCode], [401, 401, 429]);
});

t.test('registrations from one network are limited', async (t) => {
  const service = await started(t, { registrationsPerNetwork: 2 });
  await service.register();
  await service.register();
  const refused = await service.post('/auth/register', { username: 'one-too-many', password: PASSWORD });
  t.equal(refused.statusCode, 429);
  t.ok(Number(refused.headers['retry-after']) > 3500);
});

t.test('a login without Redis is a 503, even with the right password', async (t) => {
  const service = await started(t);
  const { username } = await service.register();
  await service.redis.kill();
  const reply = await login(service, username, PASSWORD);
  t.equal(reply.statusCode, 503);
  t.ok(Number(reply.headers['retry-after']) >= 1);
});
