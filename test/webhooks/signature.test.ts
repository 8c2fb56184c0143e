import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { signatureHeaders } from '../../src/webhooks/signature.js';
import { createSecret } from './receiver.js';

const message = {
  id: 'evt_1',
  timestamp: Math.floor(Date.now() / 1000),
  body: '{"type":"login.success","data":{"name":"é"}}',
};

t.test('signs a message as the Standard Webhooks library does', async (t) => {
  const secret = createSecret();
  const headers = signatureHeaders([secret], message);
  t.same(new Webhook(secret).verify(message.body, headers), { type: 'login.success', data: { name: 'é' } });
  t.equal(
    headers['webhook-signature'],
    new Webhook(secret).sign(message.id, new Date(message.timestamp * 1000), message.body),
  );
  t.throws(() => new Webhook(createSecret()).verify(message.body, headers), 'another secret is noticed');
  t.throws(() => new Webhook(secret).verify(message.body.replace('login', 'logout'), headers));
  t.throws(() => new Webhook(secret).verify(message.body, { ...headers, 'webhook-id': 'evt_2' }));
});

t.test('signs with every secret, so that receivers accept the old and the new one during a replacement', async (t) => {
  const [next, last] = [createSecret(), createSecret()];
  const headers = signatureHeaders([next, last], message);
  for (const each of [next, last]) t.doesNotThrow(() => new Webhook(each).verify(message.body, headers));
});
