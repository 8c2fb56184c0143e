import t from 'tap';
import { startAuthorizationServer } from './fixture.js';

const PATH = '/.well-known/oauth-authorization-server';

t.test('GET /.well-known/oauth-authorization-server', async (t) => {
  t.test('the first public origin is the issuer, and the base of every endpoint', async (t) => {
    const { get } = await startAuthorizationServer(t, {
      publicOrigins: ['https://login.example', 'https://other.example'],
    });
    const reply = await get(PATH);
    t.equal(reply.statusCode, 200);
    t.equal(reply.headers['cache-control'], 'no-store');
    t.strictSame(reply.json(), {
      issuer: 'https://login.example',
      token_endpoint: 'https://login.example/oauth/token',
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
      introspection_endpoint: 'https://login.example/oauth/introspect',
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
      revocation_endpoint: 'https://login.example/oauth/revoke',
      revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
      grant_types_supported: ['refresh_token'],
      response_types_supported: [],
    });
  });

  t.test('without a public origin, the issuer is the listening address', async (t) => {
    const { get, url } = await startAuthorizationServer(t);
    t.equal((await get(PATH)).json().issuer, url.replace('127.0.0.1', 'localhost'));
  });
});
