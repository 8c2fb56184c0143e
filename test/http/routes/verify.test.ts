import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import { bearer, browser, setCookies, startService } from '../../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, inject, mint, client } = service;

t.test('tells a proxy who it is, in headers', async (t) => {
  const tokens = await mint('someone@example.com / ü\r\nx: y');
  for (const method of ['GET', 'HEAD'] as const) {
    const reply = await inject({ method, url: '/auth/verify', headers: browser(tokens) });
    t.equal(reply.statusCode, 200);
    t.equal(reply.headers['x-latchkey-subject'], 'someone%40example.com%20%2F%20%C3%BC%0D%0Ax%3A%20y');
    t.equal(reply.headers['x-latchkey-session'], tokens.principal.sessionId);
    t.equal(reply.body, '');
  }
  t.equal((await get('/auth/verify', bearer(tokens))).statusCode, 200);
});

t.test('401 without a session, and nothing about anyone', async (t) => {
  for (const headers of [{}, { authorization: 'Bearer lka_x' }, { 'x-latchkey-subject': 'somebody' }]) {
    const reply = await get('/auth/verify', headers);
    t.equal(reply.statusCode, 401);
    t.equal(reply.headers['x-latchkey-subject'], undefined);
    t.equal(reply.headers['x-latchkey-session'], undefined);
  }
});

t.test('what the original request was does not matter: a proxy asks about foreign ones too', async (t) => {
  const tokens = await mint();
  const foreign = { ...browser(tokens), origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site', 'x-forwarded-method': 'POST' };
  t.equal((await get('/auth/verify', foreign)).statusCode, 200);
});

t.test('it never rotates and never writes', async (t) => {
  const tokens = await mint();
  const dump = async () => Promise.all((await keysUnder(client, service.config.redisPrefix)).map(async (key) => [key, String(await client.dump(key))]));
  const before = await dump();
  for (let i = 0; i < 5; i++) t.same(setCookies(await get('/auth/verify', browser(tokens))), []);
  t.same(await dump(), before);
});
