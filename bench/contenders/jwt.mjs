import fastifyCookie from '@fastify/cookie';
import fastifyJwt from '@fastify/jwt';
import Fastify from 'fastify';
import { generateKeyPairSync } from 'node:crypto';
import { listenOptions, ready, user, who, whoSchema } from './peer.mjs';

const [algorithm, transport] = process.argv[2].split(' ');
const cookieName = 'token';

const secrets = {
  HS256: () => 'a secret with minimum length of 32 characters',
  EdDSA: () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519', {
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    return { private: privateKey, public: publicKey };
  },
};

const app = Fastify();
if (transport === 'cookie') await app.register(fastifyCookie);
await app.register(fastifyJwt, {
  secret: secrets[algorithm](),
  sign: { algorithm, expiresIn: '1h' },
  ...(transport === 'cookie' && { cookie: { cookieName, signed: false } }),
});
app.addHook('onRequest', (request) => request.jwtVerify());
app.get('/me', { schema: whoSchema }, ({ user: { sub, sid, username, amr, auth_time, exp } }, reply) => {
  reply.send(who(sid, { subject: sub, username, methods: amr, authenticated_at: auth_time }, exp));
});
await app.listen(listenOptions);

const { subject, username, methods, authenticated_at } = user;
const token = app.jwt.sign({
  sub: subject,
  sid: 'c2Vzc2lvbi1pZC0xMjM0NQ',
  username,
  amr: methods,
  auth_time: authenticated_at,
});
ready({
  headers: transport === 'cookie' ? { cookie: `${cookieName}=${token}` } : { authorization: `Bearer ${token}` },
});
