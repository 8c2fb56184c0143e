import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { mock } from 'node:test';
import t from 'tap';
import { closeStalledConnections } from '../../src/server/stalled-connections.js';
import { until } from '../support/redis/waiting.js';

const TIMEOUT_MS = 1_000;

t.test('a connection whose client does not read its response is closed; all others stay open', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const server = createServer((_request, response) => response.end(Buffer.alloc(16 * 1024 * 1024)));
  closeStalledConnections(server, TIMEOUT_MS);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;

  const reader = connect(port, '127.0.0.1');
  let received = 0;
  reader.on('data', (chunk) => (received += chunk.length));
  reader.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const deaf = connect(port, '127.0.0.1').pause();
  deaf.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  deaf.on('error', () => {});

  const connections = () =>
    new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));
  await until('the reading client has the whole response', () => received > 16 * 1024 * 1024);
  await until('the connection that does not read is closed', async () => {
    mock.timers.tick(TIMEOUT_MS);
    return (await connections()) === 1;
  });
  mock.timers.tick(2 * TIMEOUT_MS);
  t.equal(await connections(), 1, 'the connection that is idle after its response stays open');
  t.notOk(reader.destroyed);
  reader.destroy();
  deaf.destroy();
});
