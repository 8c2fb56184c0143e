import { request } from 'node:http';
import t from 'tap';
import { browser, PASSWORD, startService, type TestService } from '../support/service.js';

interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Sends a request over a real socket, from the loopback address. */
function send(
  service: TestService,
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: object } = {},
) {
  return new Promise<Reply>((resolve, reject) => {
    const payload = body && JSON.stringify(body);
    const outgoing = request(
      `${service.url}${path}`,
      { method, headers: { ...(payload && { 'content-type': 'application/json' }), ...headers } },
      (reply) => {
        let text = '';
        reply
          .setEncoding('utf8')
          .on('data', (chunk: string) => (text += chunk))
          .on('end', () => resolve({ status: reply.statusCode!, headers: reply.headers, body: text }));
      },
    );
    outgoing.on('error', reject).end(payload);
  });
}

/** Logs in, and returns the client address that the service lists for the session. */
async function addressSeen(service: TestService, headers: Record<string, string>): Promise<string> {
  const { username } = await service.register();
  const body = { username, password: PASSWORD, transport: 'bearer' };
  const login = await send(service, '/auth/login', { method: 'POST', headers, body });
  const { access_token } = JSON.parse(login.body) as { access_token: string };
  const list = await send(service, '/auth/sessions', { headers: { authorization: `Bearer ${access_token}` } });
  return (JSON.parse(list.body) as { sessions: { address: string }[] }).sessions[0]!.address;
}

const FORWARDED = {
  'x-forwarded-for': '198.51.100.7',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'https',
  'x-real-ip': '198.51.100.7',
  forwarded: 'for=198.51.100.7',
};

t.test('forwarded headers from an untrusted peer are ignored', async (t) => {
  const service = await startService();
  t.teardown(() => service.close());
  t.equal(await addressSeen(service, FORWARDED), '127.0.0.1');
});

t.test('an untrusted peer cannot escape the throttle with forwarded headers', async (t) => {
  const service = await startService({ loginFailuresPerAccount: 2 });
  t.teardown(() => service.close());
  const statuses = [];
  for (let i = 0; i < 4; i++) {
    const headers = { 'x-forwarded-for': `198.51.100.${i}` };
    statuses.push(
      (await send(service, '/auth/login', { method: 'POST', headers, body: { username: 'ada', password: 'wrong' } }))
        .status,
    );
  }
  t.same(statuses, [401, 401, 429, 429]);
});

t.test('a peer that is not a configured proxy is untrusted', async (t) => {
  const service = await startService({ trustProxy: ['10.0.0.0/8'] });
  t.teardown(() => service.close());
  t.equal(await addressSeen(service, FORWARDED), '127.0.0.1');
});

t.test('behind a configured proxy, the client address is the last forwarded one that is not a proxy', async (t) => {
  const service = await startService({ trustProxy: ['127.0.0.1', '10.0.0.0/8'] });
  t.teardown(() => service.close());
  t.equal(await addressSeen(service, FORWARDED), '198.51.100.7');
  t.equal(
    await addressSeen(service, { 'x-forwarded-for': '203.0.113.9, 198.51.100.7, 10.1.2.3' }),
    '198.51.100.7',
    'addresses that the client itself sent do not count',
  );
});

t.test('neither Host nor X-Forwarded-Host determines the own origin, not even from a proxy', async (t) => {
  const service = await startService({ trustProxy: ['127.0.0.1'], publicOrigins: ['https://example.com'] });
  t.teardown(() => service.close());
  const { cookie } = browser(await service.mint());
  for (const headers of [{ host: 'evil.example' }, { ...FORWARDED, host: 'evil.example' }]) {
    const logout = await send(service, '/auth/logout', {
      method: 'POST',
      headers: { ...headers, cookie, origin: 'https://evil.example' },
    });
    t.equal(logout.status, 403);
    const onward = await send(service, '/auth/continue?to=/account', { headers });
    t.equal(onward.status, 303);
    t.equal(onward.headers.location, '/login?reason=missing&to=%2Faccount', 'a redirect is a path');
  }
});
