import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';
import { cookiesOf, listenOptions, origin, ready, user, who } from './peer.mjs';

const client = createClient({ url: process.env.REDIS_URL });
await client.connect();

const app = express();
app.use(
  session({
    store: new RedisStore({ client, prefix: 'express-session:' }),
    resave: false,
    saveUninitialized: false,
    secret: 'a secret with minimum length of 32 characters',
  }),
);
app.post('/login', (request, response) => {
  request.session.user = user;
  response.json({});
});
app.get('/me', ({ session: { id, user: stored } }, response) => {
  if (!stored) return response.status(401).end();
  response.json(who(id, stored, 1_790_000_900));
});
await new Promise((resolve) => app.listen(listenOptions.port, listenOptions.host, resolve));
ready({ headers: { cookie: cookiesOf(await fetch(`${origin}/login`, { method: 'POST' })) } });
