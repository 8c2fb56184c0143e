import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { awakeMs } from '../support/cpu.js';
import { rawRequest } from '../support/raw.js';
import { until } from '../support/redis/waiting.js';
import { bearer, PASSWORD, startService } from '../support/service.js';
import { flood, type Login } from './flood.js';

t.test('500 simultaneous logins do not make checks fail, and those beyond the queue are refused', async (t) => {
  const service = await startService({
    trustProxy: ['127.0.0.1'],
    loginFailuresPerNetwork: 100_000,
    loginFailuresPerAccount: 100_000,
  });
  t.teardown(() => service.close());
  const { username } = await service.register();
  const logins = Array.from({ length: 500 }, (_, i): Login => ({
    username,
    password: PASSWORD,
    address: `192.0.2.${i % 250}`,
  }));
  const result = await flood(service, { logins, access: (await service.mint()).pair.access.token });
  t.comment(JSON.stringify(result));
  t.same(
    Object.keys(result.statuses).filter((status) => !['200', '429', '503'].includes(status)),
    [],
  );
  t.ok(result.statuses[503]! > 0, 'the queue is limited');
  t.equal(result.checks.failed, 0);
  t.ok(result.checks.count > 20);
});

t.test('the sizes of bodies, headers, parameters and passwords are limited', async (t) => {
  const service = await startService();
  t.teardown(() => service.close());
  const { post, get, url } = service;
  t.equal((await post('/auth/login', { username: 'a', password: 'x'.repeat(17_000) })).statusCode, 413);
  t.equal((await post('/auth/register', { username: 'a', password: 'x'.repeat(1_025) })).statusCode, 422);
  t.equal((await post('/auth/register', { username: 'x'.repeat(255), password: PASSWORD })).statusCode, 400);
  t.equal((await get(`/auth/continue?to=/${'x'.repeat(2_100)}`)).statusCode, 400);
  t.equal((await rawRequest(url, `GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'x'.repeat(17_000)}\r\n\r\n`))?.status, 431);
  const announced = await rawRequest(
    url,
    'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{',
  );
  t.equal(announced?.status, 413, 'a large body is refused before it arrives');
});

t.test('requests that arrive byte by byte are ended within 15 seconds, and others are served meanwhile', async (t) => {
  const service = await startService();
  t.teardown(() => service.close());
  const { hostname, port } = new URL(service.url);
  // Both the deadline and this test are kept by this process, so a busy machine delays neither against the other.
  const began = awakeMs();
  let started = 0;
  const slowRequests = [
    'GET /auth/session HTTP/1.1\r\nHost: x\r\n',
    'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{',
  ].flatMap((start) =>
    Array.from({ length: 50 }, () => {
      const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(start, () => started++));
      let answer = '';
      socket.on('data', (chunk) => (answer += chunk.toString())).on('error', () => undefined);
      const trickle = setInterval(() => socket.write('x'), 500);
      socket.once('close', () => clearInterval(trickle));
      return once(socket, 'close').then(() => ({ answer, after: awakeMs() - began }));
    }),
  );
  await until('all slow requests have started', () => started === slowRequests.length);
  t.equal((await service.get('/auth/session', bearer(await service.mint()))).statusCode, 200);
  for (const { answer, after } of await Promise.all(slowRequests)) {
    if (!/^HTTP\/1\.1 408 /.test(answer) || after > 15_000) t.fail(`${after} ms: ${answer.slice(0, 60)}`);
  }
  t.pass('each got a 408 within 15 seconds');
});
