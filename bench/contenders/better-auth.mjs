import { redisStorage } from '@better-auth/redis-storage';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
import { createServer } from 'node:http';
import { cookiesOf, listenOptions, origin, ready, who, whoSchema } from './peer.mjs';

const auth = betterAuth({
  baseURL: origin,
  secret: 'a secret with minimum length of 32 characters',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
  secondaryStorage: redisStorage({ client: new Redis(process.env.REDIS_URL) }),
  emailAndPassword: { enabled: true },
  // In production it would refuse the load after a hundred requests.
  rateLimit: { enabled: false },
});

const handler = toNodeHandler(auth);
const email = 'ada@example.com';
const signUp = await auth.api.signUpEmail({
  body: { email, name: 'ada', password: 'correct horse battery staple' },
  asResponse: true,
});
const { user } = await signUp.json();
const headers = { cookie: cookiesOf(signUp) };

if (process.argv[2] === 'api') {
  const app = Fastify();
  app.get('/me', { schema: whoSchema }, async (request, reply) => {
    const found = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
    if (!found) return reply.code(401).send();
    const { session, user } = found;
    const identity = {
      subject: user.id,
      username: user.name,
      methods: [],
      authenticated_at: seconds(session.createdAt),
    };
    return who(session.id, identity, seconds(session.expiresAt));
  });
  await app.listen(listenOptions);
  ready({ headers, contains: user.id });
} else {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(listenOptions.port, listenOptions.host, resolve));
  ready({ path: '/api/auth/get-session', headers, contains: user.id });
}

function seconds(instant) {
  return Math.floor(new Date(instant).getTime() / 1000);
}
