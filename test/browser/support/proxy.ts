import { once } from 'node:events';
import { createServer, type IncomingMessage, request as ask, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** Stands between a browser and a service until the test is over; `handOn` decides what becomes of an answer. */
export async function startProxy(
  t: Test,
  service: string,
  handOn: (answer: IncomingMessage, response: ServerResponse, path: string) => void,
): Promise<string> {
  const { hostname, port } = new URL(service);
  const proxy = createServer((request, response) => {
    const { method, url: path, headers } = request;
    request.pipe(ask({ hostname, port, method, path, headers }, (answer) => handOn(answer, response, path!)));
  }).listen(0);
  await once(proxy, 'listening');
  t.teardown(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://localhost:${(proxy.address() as AddressInfo).port}`;
}
