import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { closeStalledConnections } from '../../src/server/slow-readers.js';

const TIMEOUT_MS = 1_000;

t.test('a connection whose client does not read its response is closed; idle and reading ones stay open', async (t) => {
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
  for (let waited = 0; waited < 50 && (await connections()) !== 1; waited++) await sleep(100);
  t.equal(await connections(), 1, 'the connection that does not read is closed');
  await sleep(2 * TIMEOUT_MS);
  t.ok(received > 16 * 1024 * 1024, 'the other client has the whole response');
  t.notOk(reader.destroyed, 'the other connection is open');
  reader.destroy();
  deaf.destroy();
});
