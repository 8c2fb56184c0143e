import { randomBytes } from 'node:crypto';
import { mock } from 'node:test';
import { Webhook } from 'standardwebhooks';
import t, { type Test } from 'tap';
import { RedisKeys } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';
import {
  type WebhookEndpoint,
  type WebhookEvent,
  Webhooks,
  type WebhooksOptions,
} from '../../src/webhooks/webhooks.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { awakeMs } from '../support/cpu.js';
import { startCluster, startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { type Answer, createSecret, type Message, startReceiver, typeOf, verify } from './receiver.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

const RETRY_SOON = { retryDelaysMs: Array.from({ length: 60 }, () => 300) };
/** Longer than any test takes. */
const NEVER_MS = 600_000;

const status =
  (code: number): Answer =>
  (response) =>
    response.writeHead(code).end('the body does not matter');
const event = (type: string): WebhookEvent => ({ type, data: { subject: 'ada' } });
const countTypes = (messages: readonly Message[]) => new Set(messages.map(typeOf)).size;

/** Webhooks under a prefix of their own, which retry nothing during the test unless told so. */
function setUp(t: Test, on: RedisClient = client, keys = new RedisKeys(`${randomBytes(6).toString('hex')}:`)) {
  const faults: Error[] = [];
  const start = (endpoints: WebhookEndpoint[], options: Partial<WebhooksOptions> = {}) => {
    const webhooks = new Webhooks(on, keys, endpoints, {
      onFault: (error) => faults.push(error),
      retryDelaysMs: [NEVER_MS],
      timeoutMs: NEVER_MS,
      ...options,
    });
    t.teardown(() => webhooks.close());
    return webhooks;
  };
  return { keys, key: keys.webhooks(), faults, start, countKept: () => on.xlen(keys.webhooks()) };
}

t.test('delivers an event at once, signed, and deletes it', async (t) => {
  const receiver = await startReceiver(t);
  const { start, key, countKept, faults } = setUp(t);
  const webhooks = start([receiver.endpoint]);
  webhooks.publish({ type: 'login.success', data: { subject: 'ada', session_id: 'x' } });
  await until('the event arrives', () => receiver.messages.length === 1);
  const [message] = receiver.messages as [Message];
  t.match(verify(receiver.secret, message), {
    type: 'login.success',
    timestamp: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    data: { subject: 'ada', session_id: 'x' },
  });
  t.match(message.headers, {
    'content-type': 'application/json',
    'user-agent': 'latchkey',
    'webhook-id': /^evt_[\w-]{22}$/,
  });
  t.throws(() => verify(createSecret(), message), 'a wrong secret is noticed');
  await until('the event is deleted', async () => (await countKept()) === 0);
  const ttl = await client.pttl(key);
  t.ok(ttl > 6.9 * 86_400_000 && ttl <= 7 * 86_400_000);
  t.same(await findKeysWithoutExpiry(client, key.replace('webhooks', '')), []);
  t.same(faults, []);
});

t.test('signs each attempt with the time of the attempt, and keeps the time of the event in the body', async (t) => {
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 10, 21, 12, 0, 0) });
  t.teardown(() => mock.timers.reset());
  const receiver = await startReceiver(t);
  receiver.answer = (response) => {
    mock.timers.setTime(Date.now() + 90_000);
    response.writeHead(receiver.messages.length < 3 ? 500 : 200).end();
  };
  const { start } = setUp(t);
  start([receiver.endpoint], RETRY_SOON).publish(event('a'));
  await until('the third attempt arrives', () => receiver.messages.length === 3);

  const eventAt = Date.UTC(2026, 10, 21, 12, 0, 0);
  for (const [retry, { body, headers }] of receiver.messages.entries()) {
    const attemptAt = eventAt + retry * 90_000;
    t.match(JSON.parse(body), { timestamp: new Date(eventAt).toISOString() });
    t.equal(headers['webhook-timestamp'], String(attemptAt / 1000));
    const id = headers['webhook-id'] as string;
    t.equal(headers['webhook-signature'], new Webhook(receiver.secret).sign(id, new Date(attemptAt), body));
  }
});

t.test('delivers every event to a receiver that fails at first, repeating each with the same id', async (t) => {
  const receiver = await startReceiver(t);
  const { start, countKept, faults } = setUp(t);
  const warnings = t.capture(process, 'emitWarning');
  let failures = 0;
  const ways: Answer[] = [
    status(500),
    (response) => response.destroy(),
    () => undefined,
    status(302),
    status(404),
    status(399),
  ];
  receiver.answer = (response, message) => ways[failures++ % ways.length]!(response, message);
  const webhooks = start([receiver.endpoint], { ...RETRY_SOON, timeoutMs: 200 });
  const types = Array.from({ length: 40 }, (_, i) => `event.${i}`);
  for (const type of types) webhooks.publish(event(type));
  await until('more than 30 attempts have failed', () => failures > 30);
  t.equal(await countKept(), 40, 'no event is lost meanwhile');
  const delivered: Message[] = [];
  receiver.answer = (response, message) => {
    delivered.push(message);
    response.writeHead(204).end();
  };
  await until('every event arrives', async () => countTypes(delivered) === 40 && (await countKept()) === 0);
  t.same([...new Set(delivered.map(typeOf))].sort(), types.sort());
  for (const type of types) {
    const ids = receiver.messages
      .filter((message) => typeOf(message) === type)
      .map(({ headers }) => headers['webhook-id']);
    t.equal(new Set(ids).size, 1, `${type} has one id`);
  }
  t.same(faults, []);
  t.same(warnings(), [], 'many attempts at once cause no warning');
});

t.test('does not follow a redirect that an endpoint answers', async (t) => {
  const [receiver, elsewhere] = [await startReceiver(t), await startReceiver(t)];
  receiver.answer = (response) => response.writeHead(307, { location: elsewhere.url }).end();
  const { start } = setUp(t);
  start([receiver.endpoint], RETRY_SOON).publish(event('a'));
  await until('the event is sent again', () => receiver.messages.length >= 2);
  t.equal(elsewhere.messages.length, 0);
});

t.test('delivers to an endpoint without delay while other endpoints are slow or gone', async (t) => {
  const [well, slow, gone] = [await startReceiver(t), await startReceiver(t), await startReceiver(t)];
  let open = 0;
  slow.answer = (response) => {
    open++;
    response.on('close', () => open--);
  };
  gone.server.close();
  gone.server.closeAllConnections();
  const { start, countKept } = setUp(t);
  const webhooks = start([well.endpoint, slow.endpoint, gone.endpoint]);
  for (let i = 0; i < 20; i++) webhooks.publish(event(`e.${i}`));
  await until('the slow endpoint has its first events', () => open > 0);
  await until('the endpoint that is well has all events', () => well.messages.length === 20);
  t.ok(open > 0, 'the slow endpoint has not answered yet');
  t.equal(await countKept(), 20, 'the events are kept for the other endpoints');
});

t.test('delivers an event that another process took but did not finish', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = () => undefined;
  const { start, countKept } = setUp(t);
  const dying = start([receiver.endpoint]);
  dying.publish(event('a'));
  await until('the first attempt is in progress', () => receiver.messages.length === 1);
  await dying.close();
  t.equal(await countKept(), 1);
  receiver.answer = status(204);
  start([receiver.endpoint], RETRY_SOON);
  await until('the event is delivered', async () => receiver.messages.length === 2 && (await countKept()) === 0);
});

t.test('sends each event from only one of several processes', async (t) => {
  const receiver = await startReceiver(t);
  const { start, countKept } = setUp(t);
  const processes = Array.from({ length: 4 }, () => start([receiver.endpoint]));
  for (let i = 0; i < 200; i++) processes[i % 4]!.publish(event(`e.${i}`));
  await until('all events arrive', async () => receiver.messages.length >= 200 && (await countKept()) === 0);
  await Promise.all(processes.map((each) => each.close()));
  t.equal(receiver.messages.length, 200);
});

t.test('reports and drops an event after the last attempt', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = (response, message) => response.writeHead(typeOf(message) === 'bad' ? 500 : 200).end();
  const { start, countKept, faults } = setUp(t);
  const webhooks = start([{ url: `${receiver.url}?token=hush`, secrets: [receiver.secret] }], {
    retryDelaysMs: [250, 250],
  });
  webhooks.publish(event('bad'));
  webhooks.publish(event('good'));
  await until('the event is dropped', async () => faults.length === 1 && (await countKept()) === 0);
  t.equal(receiver.messages.filter((message) => typeOf(message) === 'bad').length, 3);
  t.match(faults[0], {
    code: 'webhook_undelivered',
    message: /^Dropped evt_\S+: http:\/\/127\.0\.0\.1:\d+\/hooks did not accept it in 3 attempts$/,
  });
});

t.test('sends a new endpoint only the events that follow', async (t) => {
  const [first, second] = [await startReceiver(t), await startReceiver(t)];
  first.answer = status(500);
  const { start } = setUp(t);
  const before = start([first.endpoint]);
  before.publish(event('before'));
  await until('the first event is tried', () => first.messages.length > 0);
  await before.close();
  first.answer = status(200);
  const after = start([first.endpoint, second.endpoint]);
  after.publish(event('after'));
  await until(
    'both have the second event',
    () => first.messages.some((message) => typeOf(message) === 'after') && second.messages.length === 1,
  );
  t.same(second.messages.map(typeOf), ['after']);
});

t.test('reports how many events are dropped when an endpoint exceeds its capacity', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = status(503);
  const { start, faults, key } = setUp(t);
  const webhooks = start([receiver.endpoint], { capacity: 200 });
  for (let i = 0; i < 1_000; i++) webhooks.publish(event(`e.${i}`));
  const countDropped = () => {
    const counts = faults.flatMap(({ message }) => /: dropped the oldest (\d+)$/.exec(message)?.[1] ?? []);
    return counts.reduce((sum, count) => sum + Number(count), 0);
  };
  await until('each event is kept or reported', async () => (await client.xlen(key)) + countDropped() === 1_000);
  t.ok(countDropped() >= 500, `${countDropped()} are dropped`);
  t.match(faults.at(-1), { code: 'webhook_undelivered' });
});

t.test('keeps 10,000 events in memory while Redis is away, and publishes them when it is back', async (t) => {
  const server = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => server.stop());
  const impatient = server.client({ enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => 50 });
  impatient.on('error', () => undefined);
  await until('the client is connected', () => impatient.status === 'ready');
  const receiver = await startReceiver(t);
  const { start, key, faults } = setUp(t, impatient);
  const webhooks = start([receiver.endpoint]);
  await server.kill();
  await until('the connection is lost', () => impatient.status !== 'ready');
  for (let i = 0; i < 10_000; i++) webhooks.publish(event(`e.${i}`));
  webhooks.publish(event('too.many'));
  t.match(faults.at(-1), { code: 'webhook_undelivered', message: /dropped an event of type too\.many/ });
  await server.start();
  const countAdded = async () => {
    const stream = server.client().xinfo('STREAM', key);
    const info = (await stream.catch(() => [])) as unknown[];
    return info[info.indexOf('entries-added') + 1];
  };
  await until('all are in the stream', async () => (await countAdded()) === 10_000);
  await until('the first is delivered', () => receiver.messages.length > 0);
  t.ok(faults.some((fault) => 'code' in fault && fault.code === 'unavailable'));
});

t.test('publishes the remaining events on close', async (t) => {
  const receiver = await startReceiver(t);
  const { start, countKept } = setUp(t);
  const webhooks = start([receiver.endpoint]);
  webhooks.publish(event('last'));
  await webhooks.close();
  t.ok((await countKept()) === 1 || receiver.messages.length === 1);
});

t.test('closes without waiting for the pause of one second between attempts while Redis is away', async (t) => {
  const receiver = await startReceiver(t);
  const broken = redis.client();
  await broken.ping();
  broken.disconnect();
  // Close ten times, so that a pause at each is far longer than the rest.
  const started = awakeMs();
  for (let i = 0; i < 10; i++) {
    const { start, faults } = setUp(t, broken);
    const stuck = start([receiver.endpoint]);
    stuck.publish(event('lost'));
    await until('publishing has failed', () => faults.length > 0);
    await stuck.close();
  }
  t.ok(awakeMs() - started < 9_000);
});

t.test('retries a backlog of more than one page', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = status(500);
  const { start, countKept } = setUp(t);
  const failing = start([receiver.endpoint]);
  for (let i = 0; i < 700; i++) failing.publish(event(`e.${i}`));
  await until('each has failed', () => receiver.messages.length === 700);
  await failing.close();
  receiver.answer = status(200);
  receiver.messages.length = 0;
  start([receiver.endpoint], { retryDelaysMs: [100] });
  await until('each is delivered', async () => (await countKept()) === 0);
  t.equal(countTypes(receiver.messages), 700);
});

t.test('delivers and retries on a Redis Cluster', async (t) => {
  const { cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(stop);
  const on = cluster();
  await on.ping();
  const receiver = await startReceiver(t);
  receiver.answer = status(500);
  const { start, countKept } = setUp(t, on);
  const webhooks = start([receiver.endpoint], RETRY_SOON);
  webhooks.publish(event('a'));
  await until('the first attempt fails', () => receiver.messages.length === 1);
  receiver.answer = status(200);
  await until('the event is delivered', async () => receiver.messages.length >= 2 && (await countKept()) === 0);
  t.same(new Set(receiver.messages.map(typeOf)), new Set(['a']));
  await webhooks.close();
});
