import { randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import t, { type Test } from 'tap';
import { Keys } from '../../src/redis/keys.js';
import type { RedisClient } from '../../src/redis/script.js';
import {
  type WebhookEndpoint,
  type WebhookEvent,
  Webhooks,
  type WebhooksOptions,
} from '../../src/webhooks/webhooks.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startCluster, startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

interface Message {
  headers: IncomingHttpHeaders;
  body: string;
}

type Answer = (response: ServerResponse, message: Message) => void;

/** A real receiver; `answer` can be changed while it runs. */
async function startReceiver(t: Test) {
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const messages: Message[] = [];
  const receiver = {
    messages,
    secret,
    answer: ((response) => response.end()) as Answer,
    url: '',
    server: undefined as unknown as Server,
  };
  receiver.server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      const message = { headers: request.headers, body };
      messages.push(message);
      receiver.answer(response, message);
    });
  });
  await new Promise<void>((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
  receiver.url = `http://127.0.0.1:${(receiver.server.address() as AddressInfo).port}/hooks`;
  t.teardown(() => {
    receiver.server.closeAllConnections();
    receiver.server.close();
  });
  return receiver;
}

const status =
  (code: number): Answer =>
  (response) =>
    response.writeHead(code).end('what it says is of no matter');
const typesOf = (messages: Message[]) => messages.map(({ body }) => (JSON.parse(body) as WebhookEvent).type);
const event = (type: string): WebhookEvent => ({ type, data: { subject: 'ada' } });

/** Webhooks under a prefix of their own, which are impatient. */
function fresh(t: Test, on: RedisClient = client, keys = new Keys(`${randomBytes(6).toString('hex')}:`)) {
  const faults: Error[] = [];
  const start = (endpoints: WebhookEndpoint[], options: Partial<WebhooksOptions> = {}) => {
    const webhooks = new Webhooks(on, keys, endpoints, {
      onFault: (error) => faults.push(error),
      retryDelaysMs: [300, 300, 300, 300, 300, 300, 300, 300, 300, 300],
      timeoutMs: 200,
      ...options,
    });
    t.teardown(() => webhooks.close());
    return webhooks;
  };
  return { keys, key: keys.webhooks(), faults, start, kept: () => on.xlen(keys.webhooks()) };
}

const endpoint = ({ url, secret }: { url: string; secret: string }): WebhookEndpoint => ({ url, secrets: [secret] });
const within = (what: string, done: () => boolean | Promise<boolean>, ms = 20_000) =>
  until(what, async () => done(), ms);

t.test('an event reaches its endpoint, signed, at once, and is kept no longer', async (t) => {
  const receiver = await startReceiver(t);
  const { start, key, kept, faults } = fresh(t);
  const webhooks = start([endpoint(receiver)]);
  webhooks.publish({ type: 'login.success', data: { subject: 'ada', session_id: 'x' } });
  await within('the event arrives', () => receiver.messages.length === 1);
  const [{ headers, body }] = receiver.messages as [Message];
  t.match(new Webhook(receiver.secret).verify(body, headers as Record<string, string>), {
    type: 'login.success',
    timestamp: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    data: { subject: 'ada', session_id: 'x' },
  });
  t.match(headers, { 'content-type': 'application/json', 'user-agent': 'latchkey', 'webhook-id': /^evt_[\w-]{22}$/ });
  t.throws(
    () => new Webhook(`whsec_${randomBytes(32).toString('base64')}`).verify(body, headers as Record<string, string>),
    'a wrong secret tells',
  );
  await within('it is forgotten', async () => (await kept()) === 0);
  const ttl = await client.pttl(key);
  t.ok(ttl > 6.9 * 86_400_000 && ttl <= 7 * 86_400_000);
  t.same(await findKeysWithoutExpiry(client, key.replace('webhooks', '')), []);
  t.same(faults, []);
});

t.test('a receiver that fails for a while gets every event in the end, each by the same id', async (t) => {
  const receiver = await startReceiver(t);
  const { start, kept, faults } = fresh(t);
  const warnings = t.capture(process, 'emitWarning');
  let failing = 0;
  const ways: Answer[] = [
    status(500),
    (response) => response.destroy(),
    () => undefined,
    status(302),
    status(404),
    status(199 + 200),
  ];
  receiver.answer = (response, message) => ways[failing++ % ways.length]!(response, message);
  const webhooks = start([endpoint(receiver)], { retryDelaysMs: Array.from({ length: 60 }, () => 300) });
  const types = Array.from({ length: 40 }, (_, i) => `event.${i}`);
  for (const type of types) webhooks.publish(event(type));
  await within('several have failed', () => failing > 30);
  t.equal(await kept(), 40, 'none is lost meanwhile');
  const delivered: Message[] = [];
  receiver.answer = (response, message) => {
    delivered.push(message);
    response.writeHead(204).end();
  };
  await within('each arrives', async () => new Set(typesOf(delivered)).size === 40 && (await kept()) === 0, 60_000);
  t.same([...new Set(typesOf(delivered))].sort(), types.sort());
  for (const type of types) {
    const ids = receiver.messages
      .filter(({ body }) => body.includes(`"${type}"`))
      .map(({ headers }) => headers['webhook-id']);
    t.equal(new Set(ids).size, 1, `${type} can be told from another of its kind`);
  }
  t.same(faults, []);
  t.same(warnings(), [], 'however many are under way');
});

t.test('a redirect is not followed', async (t) => {
  const [receiver, elsewhere] = [await startReceiver(t), await startReceiver(t)];
  receiver.answer = (response) => response.writeHead(307, { location: elsewhere.url }).end();
  const { start } = fresh(t);
  start([endpoint(receiver)]).publish(event('a'));
  await within('it is tried again', () => receiver.messages.length >= 2);
  t.equal(elsewhere.messages.length, 0);
});

t.test('an endpoint that is away does not hold up the others', async (t) => {
  const receivers = [await startReceiver(t), await startReceiver(t), await startReceiver(t)] as const;
  const [well, slow, gone] = receivers;
  slow.answer = () => undefined;
  gone.server.close();
  gone.server.closeAllConnections();
  const { start, kept } = fresh(t);
  const webhooks = start(receivers.map(endpoint), { timeoutMs: 5_000, retryDelaysMs: [10_000] });
  const before = Date.now();
  for (let i = 0; i < 20; i++) webhooks.publish(event(`e.${i}`));
  await within('the one that is well has all', () => well.messages.length === 20);
  t.ok(Date.now() - before < 4_000);
  t.equal(await kept(), 20, 'they are kept for the others');
});

t.test('what a process took and did not finish, another takes over', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = () => undefined;
  const { start, kept } = fresh(t);
  const dying = start([endpoint(receiver)], { timeoutMs: 60_000, retryDelaysMs: [400] });
  dying.publish(event('a'));
  await within('it is under way', () => receiver.messages.length === 1);
  await dying.close();
  t.equal(await kept(), 1);
  receiver.answer = status(204);
  start([endpoint(receiver)]);
  await within('it arrives', async () => receiver.messages.length === 2 && (await kept()) === 0);
});

t.test('several processes share the work, and an event goes to one of them', async (t) => {
  const receiver = await startReceiver(t);
  const { start, kept } = fresh(t);
  const processes = Array.from({ length: 4 }, () =>
    start([endpoint(receiver)], { timeoutMs: 5_000, retryDelaysMs: [10_000] }),
  );
  for (let i = 0; i < 200; i++) processes[i % 4]!.publish(event(`e.${i}`));
  await within('all arrive', async () => receiver.messages.length >= 200 && (await kept()) === 0);
  await sleep(500);
  t.equal(receiver.messages.length, 200);
});

t.test('an event is given up when it was refused often enough, and it is told', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = (response, { body }) => response.writeHead(body.includes('bad') ? 500 : 200).end();
  const { start, kept, faults } = fresh(t);
  const webhooks = start([{ url: `${receiver.url}?token=hush`, secrets: [receiver.secret] }], {
    retryDelaysMs: [250, 250],
  });
  webhooks.publish(event('bad'));
  webhooks.publish(event('good'));
  await within('it is given up', async () => faults.length === 1 && (await kept()) === 0);
  t.equal(typesOf(receiver.messages).filter((type) => type === 'bad').length, 3);
  t.match(faults[0], {
    code: 'webhook_undelivered',
    message: /^http:\/\/127\.0\.0\.1:\d+\/hooks refused evt_\S+ 3 times: it is given up$/,
  });
});

t.test('an endpoint that is added gets what comes from then on', async (t) => {
  const [first, second] = [await startReceiver(t), await startReceiver(t)];
  first.answer = status(500);
  const { start } = fresh(t);
  const before = start([endpoint(first)]);
  before.publish(event('before'));
  await within('it was tried', () => first.messages.length > 0);
  await before.close();
  first.answer = status(200);
  const after = start([endpoint(first), endpoint(second)]);
  after.publish(event('after'));
  await within('both have it', () => typesOf(first.messages).includes('after') && second.messages.length === 1);
  t.same(typesOf(second.messages), ['after']);
});

t.test('what has to make room before it is delivered is told of', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = status(503);
  const { start, faults, key } = fresh(t);
  const webhooks = start([endpoint(receiver)], { capacity: 200 });
  for (let i = 0; i < 1_000; i++) webhooks.publish(event(`e.${i}`));
  const dropped = () => {
    const told = faults.flatMap(({ message }) => /: the (\d+) oldest are dropped$/.exec(message)?.[1] ?? []);
    return told.reduce((sum, count) => sum + Number(count), 0);
  };
  await within('each is kept or told of', async () => (await client.xlen(key)) + dropped() === 1_000);
  t.ok(dropped() >= 500, `${dropped()} are dropped`);
  t.match(faults.at(-1), { code: 'webhook_undelivered' });
});

t.test('events wait for a Redis that is away, so many of them, and nobody waits for that', async (t) => {
  const server = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => server.stop());
  const impatient = server.client({ enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => 50 });
  impatient.on('error', () => undefined);
  await within('it is connected', () => impatient.status === 'ready');
  const receiver = await startReceiver(t);
  const { start, key, faults } = fresh(t, impatient);
  const webhooks = start([endpoint(receiver)]);
  await server.kill();
  await within('it is gone', () => impatient.status !== 'ready');
  for (let i = 0; i < 10_000; i++) webhooks.publish(event(`e.${i}`));
  webhooks.publish(event('too.many'));
  t.match(faults.at(-1), { code: 'webhook_undelivered', message: /too\.many is dropped/ });
  await server.start();
  const added = async () => {
    const info = (await server
      .client()
      .xinfo('STREAM', key)
      .catch(() => [])) as unknown[];
    return info[info.indexOf('entries-added') + 1];
  };
  await within('all are in the stream', async () => (await added()) === 10_000);
  await within('and go out', () => receiver.messages.length > 0);
  t.ok(faults.some((fault) => 'code' in fault && fault.code === 'unavailable'));
});

t.test('closing publishes what is left, and does not wait for a Redis that is away', async (t) => {
  const receiver = await startReceiver(t);
  const { start, kept } = fresh(t);
  const webhooks = start([endpoint(receiver)]);
  webhooks.publish(event('last'));
  await webhooks.close();
  t.ok((await kept()) === 1 || receiver.messages.length === 1);

  const broken = redis.client();
  await broken.ping();
  broken.disconnect();
  const { start: startBroken, faults } = fresh(t, broken);
  const stuck = startBroken([endpoint(receiver)]);
  stuck.publish(event('lost'));
  await within('it failed', () => faults.length > 0);
  const before = Date.now();
  await stuck.close();
  t.ok(Date.now() - before < 900);
});

t.test('a backlog of more than a page is gone through', async (t) => {
  const receiver = await startReceiver(t);
  receiver.answer = status(500);
  const { start, kept } = fresh(t);
  const failing = start([endpoint(receiver)], { retryDelaysMs: [60_000] });
  for (let i = 0; i < 1_200; i++) failing.publish(event(`e.${i}`));
  await within('each has failed', () => receiver.messages.length === 1_200, 60_000);
  await failing.close();
  receiver.answer = status(200);
  receiver.messages.length = 0;
  start([endpoint(receiver)], { retryDelaysMs: [100] });
  await within('each arrives', async () => (await kept()) === 0, 60_000);
  t.equal(new Set(typesOf(receiver.messages)).size, 1_200);
});

t.test('on a Cluster', async (t) => {
  const { cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(stop);
  const on = cluster();
  await on.ping();
  const receiver = await startReceiver(t);
  receiver.answer = status(500);
  const { start, kept } = fresh(t, on);
  const webhooks = start([endpoint(receiver)]);
  webhooks.publish(event('a'));
  await within('it was refused', () => receiver.messages.length === 1);
  receiver.answer = status(200);
  await within('it arrives', async () => receiver.messages.length >= 2 && (await kept()) === 0);
  t.same(new Set(typesOf(receiver.messages)), new Set(['a']));
  await webhooks.close();
});
