import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { until } from '../support/redis/waiting.js';
import { Browser } from './support/browser.js';
import { createGate } from './support/gate.js';
import { type Site, startSite } from './support/site.js';

const REFRESH_OK = 'POST /auth/refresh 200';
let site: Site;

t.before(async () => {
  site = await startSite({}, (app) => {
    app.get('/api/refuses', (request, reply) => {
      const { status, challenge, body } = request.query as { status: string; challenge?: string; body?: string };
      if (challenge !== undefined) reply.header('www-authenticate', challenge);
      if (body !== undefined) reply.type('application/problem+json');
      return reply.code(Number(status)).send(body ?? '');
    });
    app.get('/api/leads-to', (request, reply) => reply.redirect((request.query as { url: string }).url));
  });
});
t.teardown(() => site.close());

/** Opens a logged-in tab whose access token has just expired. */
async function expiredTab(t: Test) {
  const browser = new Browser(site);
  t.teardown(() => browser.close());
  const tab = browser.open();
  const user = await site.register();
  await tab.login(user);
  await site.expireAccess();
  browser.log.length = 0;
  return { browser, tab, user, echo: `${browser.url}/api/echo` };
}

t.test('an expired access token is renewed and the request is repeated', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  t.equal((await tab.fetch(echo)).status, 200);
  t.strictSame(browser.log, ['GET /api/echo 401', REFRESH_OK, 'GET /api/echo 200']);
  t.equal((await tab.fetch(new URL(echo))).status, 200);
  t.equal(browser.log.length, 4, 'and is good for the next one');
});

t.test('many concurrent requests lead to one refresh', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  const responses = await Promise.all(Array.from({ length: 50 }, () => tab.fetch(echo)));
  t.ok(responses.every(({ status }) => status === 200));
  t.equal(browser.count(REFRESH_OK), 1);
});

t.test('a late 401 to a request sent before a refresh does not cause another refresh', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  const gate = createGate();
  let answered = false;
  browser.onAnswer = async () => {
    if (answered) return;
    answered = true;
    await gate.opened;
  };
  const slow = tab.fetch(echo);
  await until('the first request is answered', async () => answered);
  t.equal((await tab.fetch(echo)).status, 200);
  gate.open();
  t.equal((await slow).status, 200);
  t.equal(browser.count(REFRESH_OK), 1);
});

t.test('a tab refreshes itself if the access token from another refresh has expired too', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  let renewed = false;
  browser.onAnswer = async ({ url }) => {
    if (renewed || !url.endsWith('/api/echo')) return;
    renewed = true;
    await tab.session();
    await site.expireAccess();
  };
  t.equal((await tab.fetch(echo)).status, 200);
  t.strictSame(
    browser.log.filter((line) => line.includes('/api/')),
    ['GET /api/echo 401', 'GET /api/echo 401', 'GET /api/echo 200'],
  );
  t.equal(browser.count(REFRESH_OK), 2);
});

t.test('a refresh whose tokens expire before its answer arrives still lets the request succeed', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  let asked = 0;
  browser.onAnswer = async ({ url }, { status }) => {
    if (url.endsWith('/api/echo') && status === 401 && asked++ === 0) {
      await browser.fetch(`${browser.url}/auth/refresh`, { method: 'POST' });
      await site.shortenAccess(100);
    } else if (asked > 0 && url.endsWith('/auth/refresh')) await sleep(200);
  };
  t.equal((await tab.fetch(echo)).status, 200);
  t.equal(browser.count('GET /api/echo 401'), 1);
});

t.test('a repeatable body is sent again after a refresh', async (t) => {
  const form = new FormData();
  form.set('name', 'Ada');
  form.set('file', new Blob(['cards']), 'cards.txt');
  const bytes = new TextEncoder().encode('bytes');
  const bodies: [string, BodyInit, RegExp][] = [
    ['a string', 'text', /^text$/],
    ['an empty string', '', /^$/],
    ['a form', form, /name="name"\r\n\r\nAda\r\n[^]*filename="cards.txt"[^]*\r\n\r\ncards\r\n/],
    ['a Blob', new Blob(['blob']), /^blob$/],
    ['parameters', new URLSearchParams({ a: '1 2' }), /^a=1\+2$/],
    ['an ArrayBuffer', bytes.buffer, /^bytes$/],
    ['a view', new DataView(bytes.buffer, 1, 3), /^yte$/],
  ];
  const { browser, tab, echo } = await expiredTab(t);
  for (const [name, body, expected] of bodies) {
    await site.expireAccess();
    const response = await tab.fetch(echo, { method: 'POST', body, headers: { 'content-type': 'text/x-test' } });
    t.equal(response.status, 200, name);
    t.match((await response.json()).body, expected, name);
  }
  t.equal(browser.count('POST /api/echo 200'), bodies.length);
});

t.test('a repeated multipart body has the boundary that its Content-Type names', async (t) => {
  const { tab, echo } = await expiredTab(t);
  const form = new FormData();
  form.set('name', 'Ada');
  const { type, body } = await (await tab.fetch(echo, { method: 'POST', body: form })).json();
  t.ok(body.startsWith(`--${type.split('boundary=')[1]}\r\n`));
});

t.test('a body is repeated as it was when fetch was called', async (t) => {
  const { tab, echo } = await expiredTab(t);
  const body = new URLSearchParams({ amount: '1' });
  const answered = tab.fetch(echo, { method: 'POST', body });
  body.set('amount', '1000');
  t.equal((await (await answered).json()).body, 'amount=1');
});

t.test('a request with a stream body is not repeated, but the next request succeeds', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  const init = () => ({ method: 'POST', body: new Blob(['stream']).stream(), duplex: 'half' }) as RequestInit;
  const refused = await tab.fetch(echo, init());
  t.equal(refused.status, 401);
  t.equal((await refused.json()).code, 'invalid_token', 'its body can be read');
  t.strictSame(browser.log, ['POST /api/echo 401', REFRESH_OK]);
  t.equal((await (await tab.fetch(echo, init())).json()).body, 'stream');
});

t.test('a Request object is repeated only if its own body is not needed', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  t.equal((await tab.fetch(new Request(echo, { method: 'PUT' }))).status, 200);

  await site.expireAccess();
  t.equal((await tab.fetch(new Request(echo, { method: 'POST', body: 'text' }))).status, 401);
  t.equal(browser.count('POST /api/echo 401'), 1);

  await site.expireAccess();
  const response = await tab.fetch(new Request(echo, { method: 'POST', body: 'text' }), { body: 'instead' });
  t.equal((await response.json()).body, 'instead', 'or is given another');

  await site.expireAccess();
  const withoutBodyProperty = new Request(echo);
  Object.defineProperty(withoutBodyProperty, 'body', { value: undefined });
  t.equal((await tab.fetch(withoutBodyProperty)).status, 200, 'or its method has none');
});

t.test('an error response that a new access token cannot fix is returned unchanged', async (t) => {
  const { browser, tab } = await expiredTab(t);
  const untouched = {
    'a step-up': { status: '401', challenge: 'Bearer error="insufficient_user_authentication", max_age="300"' },
    'a step-up without a challenge': { status: '401', body: '{"code":"insufficient_user_authentication"}' },
    'wrong credentials': {
      status: '401',
      challenge: 'Bearer realm="latchkey"',
      body: '{"code":"invalid_credentials"}',
    },
    'another scheme': { status: '401', challenge: 'Basic realm="printer"' },
    'no challenge': { status: '401' },
    'no JSON': { status: '401', body: '<html>' },
    'JSON null': { status: '401', body: 'null' },
    'another status': { status: '403', challenge: 'Bearer error="invalid_token"' },
  };
  for (const [name, answer] of Object.entries(untouched)) {
    const response = await tab.fetch(`${browser.url}/api/refuses?${new URLSearchParams(answer).toString()}`);
    t.equal(response.status, Number(answer.status), name);
    t.equal(await response.text(), 'body' in answer ? answer.body : '', name);
  }
  t.equal(browser.count(REFRESH_OK), 0);
  t.equal(browser.log.length, Object.keys(untouched).length);
});

t.test('an error response that a new access token may fix causes one refresh, even if it persists', async (t) => {
  const curable = [
    { challenge: 'Bearer realm="api", error="invalid_token"' },
    { challenge: 'Bearer realm="api"' },
    { challenge: 'Bearer', body: '{"code":"authentication_required"}' },
    { body: '{"code":"invalid_token"}' },
  ];
  for (const answer of curable) {
    const { browser, tab } = await expiredTab(t);
    const query = new URLSearchParams({ status: '401', ...answer }).toString();
    t.equal((await tab.fetch(`${browser.url}/api/refuses?${query}`)).status, 401);
    t.strictSame(browser.log, ['GET /api/refuses 401', REFRESH_OK, 'GET /api/refuses 401'], query);
  }
});

t.test('a 401 from another origin causes no refresh, even after a redirect', async (t) => {
  const foreign = createServer((_request, response) =>
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end(),
  );
  await once(foreign.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => foreign.close());
  const url = `http://127.0.0.1:${(foreign.address() as AddressInfo).port}/`;
  const { browser, tab } = await expiredTab(t);
  t.equal((await tab.fetch(url)).status, 401);
  t.equal((await tab.fetch(`${browser.url}/api/leads-to?url=${encodeURIComponent(url)}`)).status, 401);
  t.equal(browser.count(REFRESH_OK), 0);
});

t.test('an outage during a refresh makes the request throw and signs nobody out', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  browser.onAnswer = ({ url }) => {
    if (url.endsWith('/api/echo')) site.redis.pause();
  };
  await t.rejects(tab.fetch(echo), { name: 'LatchkeyClientError', code: 'unavailable', status: 503 });
  site.redis.resume();
  browser.onAnswer = undefined;
  t.strictSame(tab.endings, []);
  t.equal((await tab.fetch(echo)).status, 200);
});

t.test('a lost answer to a refresh makes the request throw, and the next request succeeds', async (t) => {
  const { browser, tab, user, echo } = await expiredTab(t);
  browser.onAnswer = ({ url }) => {
    if (url.endsWith('/auth/refresh')) throw new TypeError('The network is gone');
  };
  const error = await tab.fetch(echo).catch((error: unknown) => error);
  t.match(error, {
    name: 'LatchkeyClientError',
    code: 'unavailable',
    status: 0,
    cause: { message: 'The network is gone' },
  });
  t.equal(await site.generation(user.subject), 2, 'the service had answered');

  browser.onAnswer = undefined;
  t.equal((await tab.fetch(echo)).status, 200);
  t.equal(await site.generation(user.subject), 2, 'and gave the same pair again');
  t.strictSame(tab.endings, []);
});

t.test('an invalid request throws the TypeError that fetch throws', async (t) => {
  const { tab, echo } = await expiredTab(t);
  await t.rejects(tab.fetch('http://'), TypeError);
  await t.rejects(tab.fetch(echo, { method: 'GET', body: 'text' }), TypeError);
});

t.test('an aborted request does not wait for the refresh, which continues', async (t) => {
  const { browser, tab, echo } = await expiredTab(t);
  const { signal } = new AbortController();
  t.equal((await tab.fetch(echo, { signal })).status, 200);

  await site.expireAccess();
  const refreshes = browser.count(REFRESH_OK);
  const gate = createGate();
  const tooLong = new AbortController();
  browser.onAnswer = async ({ url }) => {
    if (!url.endsWith('/auth/refresh')) return;
    tooLong.abort(new Error('too long'));
    await gate.opened;
  };
  await t.rejects(tab.fetch(new Request(echo), { signal: tooLong.signal }), { message: 'too long' });
  t.equal(browser.count(REFRESH_OK), refreshes, 'the answer to the refresh has not arrived');
  gate.open();
  await until('the refresh is done', async () => browser.count(REFRESH_OK) === refreshes + 1);
  browser.onAnswer = undefined;
  t.equal((await tab.fetch(echo)).status, 200);

  await site.expireAccess();
  const controller = new AbortController();
  browser.onAnswer = () => controller.abort(new Error('enough'));
  await t.rejects(tab.fetch(echo, { signal: controller.signal }), { message: 'enough' });
});
