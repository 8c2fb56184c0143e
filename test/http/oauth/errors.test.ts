import Fastify from 'fastify';
import t from 'tap';
import { oauthErrorHandler } from '../../../src/http/oauth/errors.js';
import { CONFIDENTIAL, startAuthorizationServer } from './fixture.js';

t.test('without Redis: 503, and never that a token is inactive', async (t) => {
  const { send, issue, redis } = await startAuthorizationServer(t, { redisTimeoutMs: 200 });
  const { access, refresh } = (await issue()).pair;
  redis.pause();
  t.teardown(() => redis.resume());
  for (const reply of [
    await send('/oauth/introspect', { token: access.token, ...CONFIDENTIAL }),
    await send('/oauth/introspect', { token: refresh.token, ...CONFIDENTIAL }),
    await send('/oauth/revoke', { token: refresh.token, ...CONFIDENTIAL }),
    await send('/oauth/token', { grant_type: 'refresh_token', refresh_token: refresh.token, ...CONFIDENTIAL }),
  ]) {
    t.equal(reply.statusCode, 503);
    t.match(reply.headers['retry-after'], /^\d+$/);
    t.equal(reply.json().error, 'temporarily_unavailable');
  }
});

t.test('a fault of ours says nothing about itself', async (t) => {
  const app = Fastify();
  app.setErrorHandler(oauthErrorHandler);
  app.get('/', () => {
    throw new Error('a secret');
  });
  const reply = await app.inject('/');
  t.equal(reply.statusCode, 500);
  t.strictSame(reply.json(), { error: 'server_error', error_description: 'Something went wrong on our side.' });
});
