import { once } from 'node:events';
import Fastify from 'fastify';
import t from 'tap';
import { disconnectSignal } from '../../../src/http/kit/disconnect-signal.js';

t.test('the signal aborts when the client disconnects before it has its reply, and not afterwards', async (t) => {
  const app = Fastify({ forceCloseConnections: true });
  t.teardown(() => app.close());
  const signals: AbortSignal[] = [];
  let onArrival = () => {};
  app.get('/answered', async (_request, reply) => {
    signals.push(disconnectSignal(reply));
    return 'x';
  });
  app.get('/waiting', (_request, reply) => {
    signals.push(disconnectSignal(reply));
    onArrival();
  });
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  await (await fetch(`${url}/answered`)).text();

  const leaving = new AbortController();
  const request = fetch(`${url}/waiting`, { signal: leaving.signal }).catch(() => undefined);
  await new Promise<void>((resolve) => (onArrival = resolve));
  const [answered, waiting] = signals as [AbortSignal, AbortSignal];
  t.equal(waiting.aborted, false, 'while the client waits');
  const aborted = once(waiting, 'abort');
  leaving.abort();
  await Promise.all([aborted, request]);
  t.equal(answered.aborted, false);
});
