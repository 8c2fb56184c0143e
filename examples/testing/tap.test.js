// npx tap tap.test.js
import t from 'tap';
import { startTestSessions } from 'latchkey/testing';
import { buildApp } from './app.js';

const sessions = await startTestSessions();
const app = await buildApp(sessions.options);
t.teardown(async () => {
  await app.close();
  await sessions.close();
});
const orders = (headers) => app.inject({ url: '/orders', headers });

t.test('a browser sees its own orders', async (t) => {
  const ada = await sessions.signIn('ada');
  t.same((await orders(ada.browserHeaders)).json(), { of: 'ada' });
});

t.test('an API client whose token has expired gets a 401', async (t) => {
  const ada = await sessions.signIn('ada');
  await ada.expire();
  t.equal((await orders(ada.bearerHeaders)).statusCode, 401);
});

t.test('a revoked session gets a 401 at once', async (t) => {
  const ada = await sessions.signIn('ada');
  await ada.revoke();
  t.equal((await orders(ada.browserHeaders)).statusCode, 401);
});
