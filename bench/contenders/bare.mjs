import Fastify from 'fastify';
import { listenOptions, ready, user, who, whoSchema } from './peer.mjs';

const app = Fastify();
app.get('/me', { schema: whoSchema }, (_request, reply) => {
  reply.send(who('c2Vzc2lvbi1pZC0xMjM0NQ', user, 1_790_000_900));
});
await app.listen(listenOptions);
ready({ headers: { cookie: 'session=none' } });
