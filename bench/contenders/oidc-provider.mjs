import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';
import { listenOptions, origin, ready, user } from './peer.mjs';
import { RedisAdapter } from './redis-adapter.mjs';

const client = {
  client_id: 'resource-server',
  client_secret: 'a secret with minimum length of 32 characters',
  redirect_uris: ['https://app.example.com/callback'],
};

const provider = new Provider(origin, {
  adapter: RedisAdapter,
  clients: [client],
  features: { introspection: { enabled: true }, devInteractions: { enabled: false } },
  cookies: { keys: ['a secret with minimum length of 32 characters'] },
  jwks: {
    keys: [
      {
        ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
        use: 'sig',
        alg: 'RS256',
      },
    ],
  },
});
await new Promise((resolve) => provider.listen(listenOptions.port, listenOptions.host, resolve));

const grant = new provider.Grant({ accountId: user.subject, clientId: client.client_id });
grant.addOIDCScope('openid');
const token = await new provider.AccessToken({
  accountId: user.subject,
  client: await provider.Client.find(client.client_id),
  grantId: await grant.save(),
  gty: 'authorization_code',
  scope: 'openid',
}).save();

const basic = Buffer.from(`${client.client_id}:${encodeURIComponent(client.client_secret)}`).toString('base64');
ready({
  path: '/token/introspection',
  headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
  body: `token=${token}`,
  contains: user.subject,
});
