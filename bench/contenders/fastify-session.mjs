import fastifyCookie from '@fastify/cookie';
import fastifySession from '@fastify/session';
import { RedisStore } from 'connect-redis';
import Fastify from 'fastify';
import { createClient } from 'redis';
import { cookiesOf, listenOptions, origin, ready, user, who, whoSchema } from './peer.mjs';

const client = createClient({ url: process.env.REDIS_URL });
await client.connect();

const app = Fastify();
await app.register(fastifyCookie);
await app.register(fastifySession, {
  secret: 'a secret with minimum length of 32 characters',
  store: new RedisStore({ client, prefix: 'fastify-session:' }),
  // Plain HTTP: its README asks for this.
  cookie: { secure: false },
  ...(process.argv[2] === 'rolling off' && { rolling: false }),
});
app.post('/login', (request, reply) => {
  request.session.user = user;
  reply.send({});
});
app.get('/me', { schema: whoSchema }, ({ session }, reply) => {
  if (!session.user) return reply.code(401).send();
  reply.send(who(session.sessionId, session.user, 1_790_000_900));
});
await app.listen(listenOptions);
ready({ headers: { cookie: cookiesOf(await fetch(`${origin}/login`, { method: 'POST' })) } });
