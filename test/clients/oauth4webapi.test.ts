import * as oauth from 'oauth4webapi';
import t from 'tap';
import { errorLike, OTHER, startAuthorizationServer } from '../http/oauth/fixture.js';
import { CLIENT_SECRET } from '../support/oauth-client.js';

const insecure = { [oauth.allowInsecureRequests]: true };

t.test('oauth4webapi', async (t) => {
  const { issue, store, url } = await startAuthorizationServer(t);
  const issuer = new URL(url.replace('127.0.0.1', 'localhost'));
  const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
  const server = await oauth.processDiscoveryResponse(issuer, discovered);

  const web: oauth.Client = { client_id: 'web' };
  const spa: oauth.Client = { client_id: 'spa' };
  const ways = {
    client_secret_basic: { client: web, authentication: oauth.ClientSecretBasic(CLIENT_SECRET) },
    client_secret_post: { client: web, authentication: oauth.ClientSecretPost(CLIENT_SECRET) },
    none: { client: spa, authentication: oauth.None() },
  };
  const { authentication } = ways.client_secret_basic;
  const resourceServer: oauth.Client = { client_id: OTHER.client_id };

  const refresh = async (client: oauth.Client, authentication: oauth.ClientAuth, token: string, parameters = {}) =>
    oauth.processRefreshTokenResponse(
      server,
      client,
      await oauth.refreshTokenGrantRequest(server, client, authentication, token, {
        additionalParameters: parameters,
        ...insecure,
      }),
    );
  const introspect = async (client: oauth.Client, authentication: oauth.ClientAuth, token: string) =>
    oauth.processIntrospectionResponse(
      server,
      client,
      await oauth.introspectionRequest(server, client, authentication, token, insecure),
    );
  const revoke = async (client: oauth.Client, authentication: oauth.ClientAuth, token: string) =>
    oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, token, insecure));

  t.test('oauth4webapi discovers the endpoints', async (t) => {
    t.equal(server.issuer, issuer.origin);
    t.same(server.token_endpoint_auth_methods_supported, Object.keys(ways));
  });

  for (const [name, { client, authentication }] of Object.entries(ways)) {
    t.test(`oauth4webapi refreshes and revokes with ${name}`, async (t) => {
      const { pair } = await issue(client.client_id);
      const tokens = await refresh(client, authentication, pair.refresh.token);
      t.match(tokens, { token_type: 'bearer', scope: 'read write' });
      t.ok(await store.authenticate(tokens.access_token));
      await revoke(client, authentication, tokens.refresh_token!);
      t.equal(await store.authenticate(tokens.access_token), undefined);
      await t.rejects(
        refresh(client, authentication, tokens.refresh_token!),
        errorLike({ error: 'invalid_grant', status: 400 }),
      );
      await revoke(client, authentication, tokens.refresh_token!);
    });
  }

  t.test('oauth4webapi introspects tokens', async (t) => {
    const { pair, principal } = await issue();
    const response = await introspect(resourceServer, authentication, pair.access.token);
    t.match(response, {
      active: true,
      iss: issuer.origin,
      sub: 'subject-1',
      client_id: 'web',
      sid: principal.sessionId,
      data: { tenant: 'acme' },
    });
    await revoke(web, authentication, pair.access.token);
    t.strictSame(await introspect(resourceServer, authentication, pair.access.token), { active: false });
    t.strictSame(await introspect(web, authentication, 'nothing of ours'), { active: false });
  });

  t.test('oauth4webapi understands every OAuth error', async (t) => {
    const { pair } = await issue();
    const { token } = pair.refresh;
    await t.rejects(refresh(web, authentication, token, { scope: 'admin' }), errorLike({ error: 'invalid_scope' }));
    await t.rejects(refresh(resourceServer, authentication, token), errorLike({ error: 'invalid_grant' }));
    await t.rejects(revoke(resourceServer, authentication, token), errorLike({ error: 'invalid_grant' }));
    const unauthorized = errorLike({
      name: 'WWWAuthenticateChallengeError',
      status: 401,
      cause: [{ scheme: 'basic', parameters: { realm: 'latchkey' } }],
    });
    await t.rejects(refresh(web, oauth.ClientSecretBasic('wrong'), token), unauthorized);
    await t.rejects(refresh(web, oauth.ClientSecretPost('wrong'), token), unauthorized);
    await t.rejects(introspect(spa, oauth.None(), token), unauthorized);
    const other = await oauth.genericTokenEndpointRequest(
      server,
      web,
      authentication,
      'client_credentials',
      {},
      insecure,
    );
    await t.rejects(
      oauth.processGenericTokenEndpointResponse(server, web, other),
      errorLike({ error: 'unsupported_grant_type' }),
    );
  });
});
