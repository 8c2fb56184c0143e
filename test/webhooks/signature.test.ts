import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import t from 'tap';
import { signatureHeaders } from '../../src/webhooks/signature.js';

const secret = () => `whsec_${randomBytes(32).toString('base64')}`;
const message = {
  id: 'evt_1',
  timestamp: Math.floor(Date.now() / 1000),
  body: '{"type":"login.success","data":{"name":"é"}}',
};

t.test('a message is signed as Standard Webhooks has it', async (t) => {
  const mine = secret();
  const headers = signatureHeaders([mine], message);
  t.same(new Webhook(mine).verify(message.body, headers), { type: 'login.success', data: { name: 'é' } });
  t.equal(
    headers['webhook-signature'],
    new Webhook(mine).sign(message.id, new Date(message.timestamp * 1000), message.body),
  );
  t.throws(() => new Webhook(secret()).verify(message.body, headers), 'with another secret one can tell');
  t.throws(() => new Webhook(mine).verify(message.body.replace('login', 'logout'), headers));
  t.throws(() => new Webhook(mine).verify(message.body, { ...headers, 'webhook-id': 'evt_2' }));
});

t.test('while a secret is replaced, receivers of the old and of the new one are content', async (t) => {
  const [next, last] = [secret(), secret()];
  const headers = signatureHeaders([next, last], message);
  for (const each of [next, last]) t.doesNotThrow(() => new Webhook(each).verify(message.body, headers));
});
