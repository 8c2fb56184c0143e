import Fastify from 'fastify';
import latchkey from 'latchkey';

export async function buildApp(options) {
  const app = Fastify();
  await app.register(latchkey, options);
  app.get('/orders', { onRequest: app.latchkey.requireSession() }, (request) => ({ of: request.principal.subject }));
  return app;
}
