import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { type OnEvent, webhooksOf } from '../../src/server/apps.js';
import { toWebhookEvent } from '../../src/http/flows/audit.js';
import { until } from '../support/redis/waiting.js';
import { PASSWORD, startService } from '../support/service.js';

t.test('the service tells its endpoints what happens, and no token or password', async (t) => {
  const told: { type: string; data: Record<string, string> }[] = [];
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const receiver = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => (body += text));
    request.on('end', () => {
      told.push(new Webhook(secret).verify(body, request.headers as Record<string, string>) as (typeof told)[number]);
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  t.teardown(() => receiver.close());
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;

  const { config, client, register, post, close } = await startService({}, { onEvent: (event) => onEvent(event) });
  t.teardown(close);
  const webhooks = webhooksOf(
    { ...config, webhooks: [{ url, secrets: [secret] }] },
    { lookups: client, scripts: client },
    (error) => t.fail(error.message),
  )!;
  t.teardown(() => webhooks.close());
  const onEvent: OnEvent = (event) => webhooks.publish(toWebhookEvent(event)!);

  const { subject, username } = await register();
  const { session, access_token } = (
    await post('/auth/login', { username, password: PASSWORD, transport: 'bearer' })
  ).json();
  await post('/auth/logout', undefined, { authorization: `Bearer ${access_token}` });
  await until('all is told', async () => told.length === 3);
  const byType = Object.fromEntries(told.map(({ type, data }) => [type, data]));
  t.match(byType, {
    'register.success': { subject },
    'login.success': { subject, session_id: session.session_id, address: '127.0.0.1' },
    'logout.success': { subject },
  });
  t.notOk(/lk[ar]_|horse/.test(JSON.stringify(told)));
});

t.test('without WEBHOOKS there are none', async (t) => {
  const { config, client, close } = await startService();
  t.teardown(close);
  t.equal(
    webhooksOf(config, { lookups: client, scripts: client }, () => undefined),
    undefined,
  );
});
