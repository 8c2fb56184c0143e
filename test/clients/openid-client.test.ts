import * as client from 'openid-client';
import t from 'tap';
import { errorLike, startAuthorizationServer } from '../http/oauth/fixture.js';
import { CLIENT_SECRET } from '../support/oauth-client.js';

t.test('openid-client', async (t) => {
  const { issue, store, url } = await startAuthorizationServer(t);
  const issuer = new URL(url.replace('127.0.0.1', 'localhost'));
  const discover = (id: string, authentication: client.ClientAuth) =>
    client.discovery(issuer, id, undefined, authentication, {
      algorithm: 'oauth2',
      execute: [client.allowInsecureRequests],
    });

  const ways = {
    client_secret_basic: ['web', client.ClientSecretBasic(CLIENT_SECRET)],
    client_secret_post: ['web', client.ClientSecretPost(CLIENT_SECRET)],
    none: ['spa', client.None()],
  } as const;
  for (const [name, [id, authentication]] of Object.entries(ways)) {
    t.test(`openid-client discovers, refreshes and revokes with ${name}`, async (t) => {
      const configuration = await discover(id, authentication);
      t.equal(configuration.serverMetadata().issuer, issuer.origin);
      const { pair } = await issue(id);
      const tokens = await client.refreshTokenGrant(configuration, pair.refresh.token, { scope: 'read write' });
      t.ok(tokens.expiresIn()! > 890);
      t.ok(await store.authenticate(tokens.access_token));
      await client.tokenRevocation(configuration, tokens.access_token);
      t.equal(await store.authenticate(tokens.access_token), undefined);
      await t.rejects(
        client.refreshTokenGrant(configuration, tokens.refresh_token!),
        errorLike({ error: 'invalid_grant', status: 400 }),
      );
      await client.tokenRevocation(configuration, tokens.refresh_token!);
    });
  }

  t.test('openid-client introspects tokens', async (t) => {
    const configuration = await discover('resource-server', client.ClientSecretBasic(CLIENT_SECRET));
    const { pair } = await issue();
    t.match(await client.tokenIntrospection(configuration, pair.access.token), {
      active: true,
      username: 'ada',
      scope: 'read write',
    });
    t.strictSame(await client.tokenIntrospection(configuration, pair.refresh.token), { active: false });
  });

  t.test('openid-client understands every OAuth error', async (t) => {
    const { token } = (await issue()).pair.refresh;
    const stranger = await discover('resource-server', client.ClientSecretBasic(CLIENT_SECRET));
    const impostor = await discover('web', client.ClientSecretBasic('wrong'));
    await t.rejects(client.refreshTokenGrant(stranger, token), errorLike({ error: 'invalid_grant' }));
    await t.rejects(
      client.refreshTokenGrant(await discover('web', client.ClientSecretPost(CLIENT_SECRET)), token, { scope: 'read' }),
      errorLike({ error: 'invalid_scope' }),
    );
    await t.rejects(client.tokenRevocation(stranger, token), errorLike({ error: 'invalid_grant' }));
    await t.rejects(client.refreshTokenGrant(impostor, token), errorLike({ status: 401 }));
    await t.rejects(client.tokenIntrospection(impostor, token), errorLike({ status: 401 }));
    await t.rejects(client.clientCredentialsGrant(stranger), errorLike({ error: 'unsupported_grant_type' }));
  });
});
