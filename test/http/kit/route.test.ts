import Fastify from 'fastify';
import t from 'tap';
import { assertNeedsDeclared } from '../../../src/http/kit/route.js';
import { ACCESS_COOKIE, startService } from '../../support/service.js';

t.test('an app does not start if a route does not declare what it needs', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  app.addHook('onRoute', assertNeedsDeclared);
  t.throws(
    () => app.get('/open-by-accident', () => 'hello'),
    /^GET \/open-by-accident does not declare what it needs$/,
  );
  app.get('/open', { config: { needs: 'nothing' } }, () => 'hello');
});

t.test('routes that need a session refuse requests without one', async (t) => {
  const { inject, close } = await startService();
  t.teardown(close);
  for (const [method, url] of [
    ['GET', '/auth/session'],
    ['GET', '/auth/sessions'],
    ['DELETE', '/auth/sessions/x'],
    ['POST', '/auth/password'],
    ['GET', '/auth/verify'],
  ] as const) {
    t.equal((await inject({ method, url })).statusCode, 401, `${method} ${url}`);
    const headers = { cookie: `${ACCESS_COOKIE}=x`, 'sec-fetch-site': 'same-origin' };
    t.equal((await inject({ method, url, headers })).statusCode, 401, `${method} ${url} with an invalid token`);
  }
});
