import t from 'tap';
import { toWebhookEvent } from '../../src/http/flows/audit.js';
import { createWebhooks, type EventHandler } from '../../src/server/apps.js';
import { until } from '../support/redis/waiting.js';
import { PASSWORD, startService } from '../support/service.js';
import { startReceiver, verify } from './receiver.js';

t.test('the service sends events to its endpoints, without tokens and passwords', async (t) => {
  const receiver = await startReceiver(t);
  const { config, client, register, post, close } = await startService({}, { onEvent: (event) => onEvent(event) });
  t.teardown(close);
  const webhooks = createWebhooks(
    { ...config, webhooks: [receiver.endpoint] },
    { lookups: client, scripts: client },
    (error) => t.fail(error.message),
  )!;
  t.teardown(() => webhooks.close());
  const onEvent: EventHandler = (event) => webhooks.publish(toWebhookEvent(event)!);

  const { subject, username } = await register();
  const { session, access_token } = (
    await post('/auth/login', { username, password: PASSWORD, transport: 'bearer' })
  ).json();
  await post('/auth/logout', undefined, { authorization: `Bearer ${access_token}` });
  await until('all three events arrive', () => receiver.messages.length === 3);
  const events = receiver.messages.map(
    (message) => verify(receiver.secret, message) as { type: string; data: Record<string, string> },
  );
  t.match(Object.fromEntries(events.map(({ type, data }) => [type, data])), {
    'register.success': { subject },
    'login.success': { subject, session_id: session.session_id, address: '127.0.0.1' },
    'logout.success': { subject },
  });
  t.notOk(/lk[ar]_|horse/.test(JSON.stringify(events)));
});

t.test('the service has no webhooks without WEBHOOKS', async (t) => {
  const { config, client, close } = await startService();
  t.teardown(close);
  t.equal(
    createWebhooks(config, { lookups: client, scripts: client }, () => undefined),
    undefined,
  );
});
