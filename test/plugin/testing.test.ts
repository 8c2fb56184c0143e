import { existsSync } from 'node:fs';
import Fastify from 'fastify';
import t from 'tap';
import latchkey from '../../src/index.js';
import { startTestSessions } from '../../src/testing.js';

t.test('test sessions sign in on a private Redis, expire and revoke on demand, and leave no files', async (t) => {
  const sessions = await startTestSessions();
  const app = Fastify();
  await app.register(latchkey, sessions.options);
  app.get('/me', { onRequest: app.latchkey.requireSession({ scopes: ['a'] }) }, (request) => request.principal);
  const ask = (headers: Record<string, string>) => app.inject({ url: '/me', headers });

  const ada = await sessions.signIn('ada', {
    identity: { scope: 'a', methods: ['otp'] },
    origin: { device: 'a phone', address: '192.0.2.9' },
  });
  for (const headers of [ada.browserHeaders, ada.bearerHeaders])
    t.match((await ask(headers)).json(), { subject: 'ada', methods: ['otp'], sessionId: ada.sessionId });
  t.match(await app.latchkey.list('ada'), [{ device: 'a phone' }]);
  t.equal(
    (await ask((await sessions.signIn('ada')).bearerHeaders)).statusCode,
    403,
    'a session has no scope unless one is given',
  );

  await ada.expire();
  t.equal((await ask(ada.bearerHeaders)).statusCode, 401);
  const refreshed = await app.inject({
    method: 'POST',
    url: '/auth/refresh',
    payload: { refresh_token: ada.refreshToken },
  });
  t.equal(refreshed.statusCode, 200, 'the refresh token still works');
  const { access_token: access } = refreshed.json();
  t.equal((await ask({ authorization: `Bearer ${access}` })).statusCode, 200);
  await ada.revoke();
  t.equal((await ask({ authorization: `Bearer ${access}` })).statusCode, 401);

  const directory = (await sessions.options.redis.config('GET', 'dir'))[1]!;
  t.ok(existsSync(directory));
  await app.close();
  await sessions.close();
  t.notOk(existsSync(directory));
});

t.test('two sets of test sessions share no Redis', async (t) => {
  const [one, other] = await Promise.all([startTestSessions(), startTestSessions()]);
  await one.signIn('ada');
  t.equal(await other.options.redis.dbsize(), 0);
  await Promise.all([one.close(), other.close()]);
});
