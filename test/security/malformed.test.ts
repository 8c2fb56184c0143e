import t from 'tap';
import { SECURITY_HEADERS } from '../../src/http/kit/headers.js';
import { rawRequest } from '../support/raw.js';
import { startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const send = (...lines: string[]) => rawRequest(service.url, [...lines, 'Connection: close', '', ''].join('\r\n'));

t.test('a request without a Host header gets a 400 problem with the protective headers', async (t) => {
  const reply = await send('GET /auth/session HTTP/1.1');
  t.match(reply, { status: 400, headers: { ...SECURITY_HEADERS, 'content-type': 'application/problem+json' } });
  t.match(JSON.parse(reply!.body), { code: 'invalid_request', detail: 'The Host header is missing.' });
  t.equal((await send('GET /auth/session HTTP/1.0'))?.status, 401, 'HTTP/1.0 has no Host header');
});

t.test('an unknown Expect header is ignored', async (t) => {
  t.match(await send('GET /auth/session HTTP/1.1', 'Host: x', 'Expect: nonsense'), {
    status: 401,
    headers: SECURITY_HEADERS,
  });
});
