import Fastify from 'fastify';
import { latchkey } from '../../dist/plugin.js';
import { openClients, ORIGIN, TOKEN_KEY } from '../lib/latchkey.mjs';
import { listenOptions, ready, user, who, whoSchema } from './peer.mjs';

const app = Fastify();
await app.register(latchkey, { redis: await openClients(process.env.REDIS_URL), tokenKeys: [TOKEN_KEY] });
app.get('/me', { onRequest: app.latchkey.requireSession(), schema: whoSchema }, ({ principal }, reply) => {
  const { sessionId, subject, username, methods, authenticatedAt, expiresAt } = principal;
  reply.send(
    who(sessionId, { subject, username, methods, authenticated_at: seconds(authenticatedAt) }, seconds(expiresAt)),
  );
});
await app.listen(listenOptions);

const { subject, username, methods } = user;
const { pair } = await app.latchkey.issue({ identity: { subject, username, methods }, origin: ORIGIN });
const { token } = pair.access;
ready({
  headers:
    process.argv[2] === 'bearer' ? { authorization: `Bearer ${token}` } : { cookie: `__Host-Http-latchkey=${token}` },
});

function seconds(ms) {
  return Math.floor(ms / 1000);
}
