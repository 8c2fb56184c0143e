import t from 'tap';
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
// Redis still has a key at the very millisecond of its expiry.
const pass = (ms: number) => service.redis.moveClock(ms);
const keys = () => service.client.keys(`${service.config.redisPrefix}*`);

t.test('an access token expires after 15 minutes, and its session lives on', async (t) => {
  const tokens = await service.mint();
  await pass(15 * MINUTE);
  t.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 200);
  await pass(1);
  t.equal((await service.get('/auth/session', bearer(tokens))).statusCode, 401);
  t.same((await keys()).map((key) => key.split(':')[2]).sort(), ['session', 'sessions']);
  const renewed = await refresh(tokens.pair.refresh.token);
  t.equal(renewed.statusCode, 200);
  t.equal((await session(renewed.json().access_token)).statusCode, 200);
});

t.test('a refresh token expires after 30 days without use and leaves no key behind', async (t) => {
  const tokens = await service.mint();
  const other = await service.mint();
  await pass(30 * DAY);
  t.equal((await refresh(other.pair.refresh.token)).statusCode, 200);
  await pass(1);
  const late = await refresh(tokens.pair.refresh.token);
  t.equal(late.statusCode, 403);
  t.match(late.json(), { code: 'reauthentication_required', reason: 'unknown' });
  await service.store.revokeAll(other.principal.subject, { reason: 'revoked' });
  await pass(7 * DAY + 1);
  t.same(await keys(), [], 'a week later, the reason why the other session ended is gone too');
});

t.test('a session that is used every day ends after 90 days, together with its tokens', async (t) => {
  const first = await service.mint();
  let { token } = first.pair.refresh;
  let answer = { access_token: first.pair.access.token, refresh_expires_in: 0, expires_in: 0 };
  for (let day = 1; day < 90; day++) {
    await pass(DAY);
    const reply = await refresh(token);
    t.equal(reply.statusCode, 200, `day ${day}`);
    answer = reply.json();
    token = reply.json().refresh_token;
    t.equal(answer.refresh_expires_in, Math.min(30, 90 - day) * 86_400, 'the absolute lifetime is the limit');
    await session(answer.access_token);
    await service.untilConfirmed(first);
  }
  t.equal(answer.refresh_expires_in, 86_400);

  await pass(DAY - 5 * MINUTE);
  const last = (await refresh(token)).json();
  t.equal(last.expires_in, 300, 'an access token does not outlive its session');
  await pass(5 * MINUTE);
  t.equal((await session(last.access_token)).statusCode, 200);
  await pass(1);
  t.equal((await session(last.access_token)).statusCode, 401);
  t.equal((await refresh(last.refresh_token)).json().reason, 'unknown');
  t.same(await keys(), [], 'no key is left');
});

t.test('a refresh whose response was lost can be repeated for 24 hours and no longer', async (t) => {
  const inTime = await service.mint();
  const tooLate = await service.mint();
  const pair = (await refresh(inTime.pair.refresh.token)).json();
  await refresh(tooLate.pair.refresh.token);
  await pass(DAY - 1);
  t.equal((await refresh(inTime.pair.refresh.token)).json().refresh_token, pair.refresh_token);
  await pass(1);
  t.equal((await refresh(tooLate.pair.refresh.token)).json().reason, 'reused');
});

t.test(
  'a refresh token whose successor was used ends the session once the grace period of 30 seconds is over',
  async (t) => {
    const tokens = await service.mint();
    const next = (await refresh(tokens.pair.refresh.token)).json();
    await refresh(next.refresh_token);
    await pass(30 * SECOND - 1);
    t.equal((await refresh(tokens.pair.refresh.token)).json().refresh_token, next.refresh_token);
    await pass(1);
    t.equal((await refresh(tokens.pair.refresh.token)).json().reason, 'reused');
  },
);

t.test('a clock that jumps back by a day ends no session and no token', async (t) => {
  const tokens = await service.mint();
  const next = (await refresh(tokens.pair.refresh.token)).json();
  await pass(-DAY);
  t.equal((await session(next.access_token)).statusCode, 200);
  t.equal((await refresh(next.refresh_token)).statusCode, 200);
  t.equal((await refresh(tokens.pair.refresh.token)).statusCode, 200);
});
