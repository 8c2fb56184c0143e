import t, { type Test } from 'tap';
import { type AuthEvent, toWebhookEvent } from '../../../src/http/flows/audit.js';
import { readRedisTime } from '../../../src/redis/clock.js';
import type { IssuedTokens } from '../../../src/sessions/session.js';
import { bearer, PASSWORD, startService } from '../../support/service.js';

const events: AuthEvent[] = [];
const service = await startService({ loginFailuresPerAccount: 2 }, { onEvent: (event) => events.push(event) });
t.teardown(() => service.close());
const { post, inject, mint, register, age, client } = service;

const address = '127.0.0.1';
const NEW_PASSWORD = `${PASSWORD} two`;

/** Returns the events reported since the last call. */
const takeEvents = () => events.splice(0);
const login = (username: string, password: string) => post('/auth/login', { username, password, transport: 'bearer' });
const idOf = ({ principal }: IssuedTokens) => principal.sessionId;

/** Asserts that `act` reports exactly these events. */
async function assertReports(t: Test, act: () => Promise<unknown>, ...expected: AuthEvent[]): Promise<void> {
  takeEvents();
  await act();
  t.strictSame(takeEvents(), expected);
}

t.test('a registration and its refusals are reported', async (t) => {
  takeEvents();
  const { subject } = await register('ada');
  t.strictSame(takeEvents(), [{ event: 'register', outcome: 'success', subject, address }]);
  const registering = (username: string, password: string) => post('/auth/register', { username, password });
  await assertReports(t, () => registering('ada', PASSWORD), {
    event: 'register',
    outcome: 'failure',
    reason: 'username_taken',
    address,
  });
  await assertReports(t, () => registering('new', 'short'), {
    event: 'register',
    outcome: 'failure',
    reason: 'password_not_allowed',
    address,
  });
});

t.test('a login is reported, and a failed one with the subject of its username', async (t) => {
  const { subject, username } = await register();
  takeEvents();
  const reply = await login(username, PASSWORD);
  t.strictSame(takeEvents(), [
    { event: 'login', outcome: 'success', subject, sessionId: reply.json().session.session_id, address },
  ]);
  await assertReports(t, () => login(username, 'wrong'), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject,
    address,
  });
  await assertReports(t, () => login('somebody unknown', 'wrong'), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    address,
  });
  await assertReports(t, () => login('nobody', 'wrong'), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    address,
  });
  await client.hset(service.keys.user(subject), 'disabledAt', '1');
  await assertReports(t, () => login(username, PASSWORD), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject,
    address,
  });
  await assertReports(t, () => login(username, PASSWORD), {
    event: 'login',
    outcome: 'failure',
    reason: 'too_many_requests',
    address,
  });
});

t.test('a refresh and a refused refresh are reported', async (t) => {
  const tokens = await mint();
  const { subject, sessionId } = tokens.principal;
  const refresh = () => post('/auth/refresh', { refresh_token: tokens.pair.refresh.token });
  await assertReports(t, refresh, { event: 'refresh', outcome: 'success', subject, sessionId, address });
  await age(tokens, 25 * 3_600_000);
  await assertReports(t, refresh, {
    event: 'refresh',
    outcome: 'failure',
    reason: 'reused',
    subject,
    sessionId,
    address,
  });
  await assertReports(t, refresh, { event: 'refresh', outcome: 'failure', reason: 'reused', sessionId, address });
  await assertReports(t, async () => {
    t.equal(
      (await post('/auth/refresh', { refresh_token: 'lkr_x' })).statusCode,
      403,
      'a forged token is not reported',
    );
  });
});

t.test('a logout is reported with its scope', async (t) => {
  for (const scope of ['others', 'session', 'all']) {
    const tokens = await mint();
    const { subject, sessionId } = tokens.principal;
    await assertReports(t, () => post('/auth/logout', { scope }, bearer(tokens)), {
      event: 'logout',
      outcome: 'success',
      reason: scope,
      subject,
      sessionId,
      address,
    });
  }
  const reused = await mint();
  const { subject, sessionId } = reused.principal;
  await service.store.rotate(reused.pair.refresh, { address });
  await age(reused, 25 * 3_600_000);
  await assertReports(t, () => post('/auth/logout', { refresh_token: reused.pair.refresh.token }), {
    event: 'logout',
    outcome: 'failure',
    reason: 'reused',
    subject,
    sessionId,
    address,
  });
});

t.test('ending one session is reported, and a refusal because the login is too old', async (t) => {
  const [own, other] = [await mint('grace'), await mint('grace')];
  const end = (tokens: IssuedTokens, by: IssuedTokens) =>
    inject({ method: 'DELETE', url: `/auth/sessions/${idOf(tokens)}`, headers: bearer(by) });
  await assertReports(t, () => end(other, own), {
    event: 'session_end',
    outcome: 'success',
    reason: 'logged_out_elsewhere',
    subject: 'grace',
    sessionId: idOf(other),
    address,
  });
  const old = await mint('grace', { authenticatedAt: (await readRedisTime(client)) - 3_600_000 });
  await assertReports(t, () => end(own, old), {
    event: 'step_up',
    outcome: 'failure',
    reason: 'insufficient_user_authentication',
    subject: 'grace',
    sessionId: idOf(old),
    address,
  });
  await assertReports(t, () => end(own, own), {
    event: 'session_end',
    outcome: 'success',
    reason: 'logged_out',
    subject: 'grace',
    sessionId: idOf(own),
    address,
  });
});

t.test('a password change is reported, and a wrong current password, which counts as a failed login', async (t) => {
  const { subject, username } = await register();
  const tokens = await mint(subject);
  const sessionId = idOf(tokens);
  const change = (current: string) =>
    post('/auth/password', { current_password: current, new_password: NEW_PASSWORD }, bearer(tokens));
  await assertReports(t, () => change('wrong'), {
    event: 'password_change',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject,
    sessionId,
    address,
  });
  takeEvents();
  const reply = await change(PASSWORD);
  t.strictSame(takeEvents(), [
    { event: 'password_change', outcome: 'success', subject, sessionId: reply.json().session.session_id, address },
  ]);
  await assertReports(t, () => login(username, 'wrong'), {
    event: 'login',
    outcome: 'failure',
    reason: 'invalid_credentials',
    subject,
    address,
  });
  t.equal(
    (await login(username, NEW_PASSWORD)).statusCode,
    429,
    'the wrong current password counted as a failed login',
  );
});

t.test('a session that a login replaces is reported as superseded', async (t) => {
  const { subject, username } = await register();
  const first = await mint(subject);
  takeEvents();
  const reply = await post('/auth/login', { username, password: PASSWORD, transport: 'bearer' }, bearer(first));
  t.strictSame(takeEvents(), [
    { event: 'login', outcome: 'success', subject, sessionId: reply.json().session.session_id, address },
    { event: 'session_end', outcome: 'success', reason: 'superseded', subject, sessionId: idOf(first), address },
  ]);
});

t.test('a session over the limit of its user is reported as evicted', async (t) => {
  const crowded = await startService({ sessionsPerUser: 1 }, { onEvent: (event) => events.push(event) });
  t.teardown(() => crowded.close());
  const { subject, username } = await crowded.register();
  const first = await crowded.mint(subject);
  takeEvents();
  const reply = await crowded.post('/auth/login', { username, password: PASSWORD, transport: 'bearer' });
  t.strictSame(takeEvents(), [
    { event: 'login', outcome: 'success', subject, sessionId: reply.json().session.session_id, address },
    { event: 'session_end', outcome: 'success', reason: 'evicted', subject, sessionId: idOf(first), address },
  ]);
});

t.test('a webhook event has a type of event and outcome, and carries the other fields', async (t) => {
  const address = '192.0.2.1';
  t.strictSame(
    toWebhookEvent({ event: 'logout', outcome: 'success', reason: 'all', subject: 'ada', sessionId: 's', address }),
    {
      type: 'logout.success',
      data: { reason: 'all', subject: 'ada', session_id: 's', address },
    },
  );
  t.strictSame(toWebhookEvent({ event: 'login', outcome: 'failure', address }), {
    type: 'login.failure',
    data: { address },
  });
});

t.test('a failure that a flood causes is not sent to webhooks', async (t) => {
  const address = '192.0.2.1';
  for (const reason of ['too_many_requests', 'unavailable']) {
    t.equal(toWebhookEvent({ event: 'login', outcome: 'failure', reason, address }), undefined);
  }
  t.match(toWebhookEvent({ event: 'login', outcome: 'failure', reason: 'invalid_credentials', address }), {
    type: 'login.failure',
  });
});
