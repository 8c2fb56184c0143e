import Fastify from 'fastify';
import t from 'tap';
import latchkey from '../../../src/index.js';
import { TOKEN_KEY } from '../../support/credentials.js';
import { startRedis } from '../../support/redis.js';

t.test('an onRequest or preValidation hook that the host application adds to each route runs', async (t) => {
  const server = await startRedis();
  t.teardown(() => server.stop());
  const app = Fastify();
  t.teardown(() => app.close());
  const calls: string[] = [];
  app.addHook('onRoute', (route) => {
    route.onRequest = async ({ url }) => void calls.push(`onRequest ${url}`);
    route.preValidation = async ({ url }) => void calls.push(`preValidation ${url}`);
  });
  await app.register(latchkey, {
    redis: server.client(),
    tokenKeys: [TOKEN_KEY],
    publicOrigins: ['https://app.example'],
    users: true,
  } as never);
  const session = await app.inject('/auth/session');
  t.equal(session.statusCode, 401, 'the route still checks the session');
  const logout = await app.inject({ method: 'POST', url: '/auth/logout' });
  t.equal(logout.statusCode, 401, 'the missing body counts as an empty object');
  t.same(calls, ['onRequest /auth/session', 'onRequest /auth/logout', 'preValidation /auth/logout']);
});
