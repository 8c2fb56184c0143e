// node --test node.test.js
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startTestSessions } from 'latchkey/testing';
import { buildApp } from './app.js';

const sessions = await startTestSessions();
const app = await buildApp(sessions.options);
after(async () => {
  await app.close();
  await sessions.close();
});
const orders = (headers) => app.inject({ url: '/orders', headers });

test('a browser sees its own orders', async () => {
  const ada = await sessions.signIn('ada');
  assert.deepEqual((await orders(ada.browserHeaders)).json(), { of: 'ada' });
});

test('an API client whose token has expired gets a 401', async () => {
  const ada = await sessions.signIn('ada');
  await ada.expire();
  assert.equal((await orders(ada.bearerHeaders)).statusCode, 401);
});

test('a revoked session gets a 401 at once', async () => {
  const ada = await sessions.signIn('ada');
  await ada.revoke();
  assert.equal((await orders(ada.browserHeaders)).statusCode, 401);
});
