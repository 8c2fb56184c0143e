import t from 'tap';
import { until } from '../support/redis/waiting.js';
import { bearer, startService, type TestService } from '../support/service.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

let service: TestService;
t.beforeEach(async () => {
  service = await startService({}, { clock: true });
});
t.afterEach(() => service.close());

const session = (access: string) => service.get('/auth/session', { authorization: `Bearer ${access}` });
const refresh = (token: string) => service.post('/auth/refresh', { refresh_token: token });
const pass = (ms: number) => service.redis.moveClock(ms);
const leftOf = async () =>
  (await service.client.keys(`${service.config.redisPrefix}*`)).map((key) => key.split(':')[2]);

t.test('an access token ends after 15 minutes, and its session goes on', async (t) => {
  const tokens = await service.mint();
  await pass(15 * MINUTE - 10 * SECOND);
  t.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 200);
  await pass(10 * SECOND);
  t.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 401);
  t.same(await leftOf().then((kinds) => kinds.sort()), ['session', 'sessions']);
  const renewed = await refresh(tokens.pair.refresh.token);
  t.equal(renewed.statusCode, 200);
  t.equal((await session(renewed.json().access_token)).statusCode, 200);
});

t.test('a refresh token ends after 30 days without use, and nothing is left', async (t) => {
  const tokens = await service.mint();
  const other = await service.mint();
  await pass(30 * DAY - 10 * SECOND);
  t.equal((await refresh(other.pair.refresh.token)).statusCode, 200);
  await pass(10 * SECOND);
  const late = await refresh(tokens.pair.refresh.token);
  t.equal(late.statusCode, 403);
  t.match(late.json(), { code: 'reauthentication_required', reason: 'unknown' });
  await service.store.revokeAll(other.principal.subject, { reason: 'revoked' });
  await pass(7 * DAY);
  t.same(
    await service.client.keys(`${service.config.redisPrefix}*`),
    [],
    'not even the reason of the other one, a week later',
  );
});

t.test('a session that is used every day ends after 90 days, and its tokens with it', async (t) => {
  const first = await service.mint();
  let { token } = first.pair.refresh;
  let answer = { access_token: first.pair.access.token, refresh_expires_in: 0, expires_in: 0 };
  for (let day = 1; day < 90; day++) {
    await pass(DAY);
    const reply = await refresh(token);
    t.equal(reply.statusCode, 200, `day ${day}`);
    answer = reply.json();
    token = reply.json().refresh_token;
    t.ok(answer.refresh_expires_in <= Math.min(30, 90 - day) * 86_400, 'never beyond the absolute lifetime');
    const { sessionId, partition } = first.pair.refresh;
    await session(answer.access_token);
    await until(
      'it is confirmed',
      async () => (await service.client.hexists(service.keys.session(partition, sessionId), 'confirmedAt')) === 1,
    );
  }
  t.ok(answer.refresh_expires_in > 86_000 && answer.refresh_expires_in <= 86_400);

  await pass(DAY - 5 * MINUTE);
  const last = (await refresh(token)).json();
  t.ok(last.expires_in <= 300, 'an access token does not outlive its session');
  await pass(5 * MINUTE - 10 * SECOND);
  t.equal((await session(last.access_token)).statusCode, 200);
  await pass(10 * SECOND);
  t.equal((await session(last.access_token)).statusCode, 401);
  t.equal((await refresh(last.refresh_token)).json().reason, 'unknown');
  t.same(await service.client.keys(`${service.config.redisPrefix}*`), [], 'nothing is left');
});

t.test('a lost answer can be asked for again for 24 hours, and no longer', async (t) => {
  const inTime = await service.mint();
  const tooLate = await service.mint();
  const pair = (await refresh(inTime.pair.refresh.token)).json();
  await refresh(tooLate.pair.refresh.token);
  await pass(24 * 60 * MINUTE - 10 * SECOND);
  t.equal((await refresh(inTime.pair.refresh.token)).json().refresh_token, pair.refresh_token);
  await pass(10 * SECOND);
  t.equal((await refresh(tooLate.pair.refresh.token)).json().reason, 'reused');
});

t.test('after the grace period, a token whose successor has been used ends the session', async (t) => {
  const tokens = await service.mint();
  const next = (await refresh(tokens.pair.refresh.token)).json();
  await refresh(next.refresh_token);
  await pass(29 * SECOND);
  t.equal((await refresh(tokens.pair.refresh.token)).json().refresh_token, next.refresh_token);
  await pass(SECOND);
  t.equal((await refresh(tokens.pair.refresh.token)).json().reason, 'reused');
});

t.test('a clock that jumps back ends nothing', async (t) => {
  const tokens = await service.mint();
  const next = (await refresh(tokens.pair.refresh.token)).json();
  await pass(-DAY);
  t.equal((await session(next.access_token)).statusCode, 200);
  t.equal((await refresh(next.refresh_token)).statusCode, 200);
  t.equal((await refresh(tokens.pair.refresh.token)).statusCode, 200);
});
