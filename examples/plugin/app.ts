import Fastify, { type FastifyInstance } from 'fastify';
import latchkey, { type LatchkeyOptions } from 'latchkey';

/** Your own app: the plugin adds the `/auth` routes, and a hook for routes that need a session. */
export async function buildApp(options: LatchkeyOptions): Promise<FastifyInstance> {
  const app = Fastify();
  await app.register(latchkey, options);

  app.get('/', () => ({ hello: 'world' }));
  app.get('/orders', { onRequest: app.latchkey.requireSession() }, (request) => ({ of: request.principal!.subject }));
  app.delete(
    '/orders',
    { onRequest: app.latchkey.requireSession({ scopes: ['orders:write'], recentMs: 5 * 60_000 }) },
    (_request, reply) => reply.code(204).send(),
  );
  return app;
}
