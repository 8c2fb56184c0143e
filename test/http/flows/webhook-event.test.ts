import t from 'tap';
import { webhookEvent } from '../../../src/http/flows/webhook-event.js';

t.test('an event is typed by what happened and its outcome, and tells what is known of it', async (t) => {
  const address = '192.0.2.1';
  t.strictSame(
    webhookEvent({ event: 'logout', outcome: 'success', reason: 'all', subject: 'ada', sessionId: 's', address }),
    {
      type: 'logout.success',
      data: { reason: 'all', subject: 'ada', session_id: 's', address },
    },
  );
  t.strictSame(webhookEvent({ event: 'login', outcome: 'failure', address }), {
    type: 'login.failure',
    data: { address },
  });
});

t.test('what a flood is refused with is not told', async (t) => {
  const address = '192.0.2.1';
  for (const reason of ['too_many_requests', 'unavailable']) {
    t.equal(webhookEvent({ event: 'login', outcome: 'failure', reason, address }), undefined);
  }
  t.match(webhookEvent({ event: 'login', outcome: 'failure', reason: 'invalid_credentials', address }), {
    type: 'login.failure',
  });
});
