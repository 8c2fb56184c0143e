import { type AccessToken, AuthorizationCode } from 'simple-oauth2';
import t from 'tap';
import type { IssuedTokens } from '../../src/sessions/session.js';
import { errorLike, startAuthorizationServer } from '../http/oauth/fixture.js';
import { CLIENT_SECRET } from '../support/oauth-client.js';

t.test('simple-oauth2', async (t) => {
  const { issue, store, url } = await startAuthorizationServer(t);
  const metadata = (await (await fetch(`${url}/.well-known/oauth-authorization-server`)).json()) as Record<
    string,
    string
  >;
  const path = (endpoint: string) => new URL(metadata[endpoint]!).pathname;

  const clientWith = (authorizationMethod: 'header' | 'body', id = 'web', secret = CLIENT_SECRET) =>
    new AuthorizationCode({
      client: { id, secret },
      auth: { tokenHost: metadata.issuer!, tokenPath: path('token_endpoint'), revokePath: path('revocation_endpoint') },
      options: { authorizationMethod },
    });
  const refused = (error: string, statusCode: number) =>
    errorLike({ data: { payload: { error }, res: { statusCode } } });
  const held = (client: AuthorizationCode, { pair }: IssuedTokens): AccessToken =>
    client.createToken({
      access_token: pair.access.token,
      refresh_token: pair.refresh.token,
      token_type: 'Bearer',
      expires_in: 900,
    });

  for (const method of ['header', 'body'] as const) {
    t.test(`simple-oauth2 refreshes and revokes with its credentials in the ${method}`, async (t) => {
      const first = held(clientWith(method), await issue());
      const second = await first.refresh({ scope: ['read', 'write'] });
      t.equal(second.expired(), false);
      const { access_token } = second.token;
      t.ok(await store.authenticate(String(access_token)));
      t.equal((await first.refresh()).token.access_token, access_token, 'refreshing again gives the same token');
      await second.revokeAll();
      t.equal(await store.authenticate(String(access_token)), undefined);
      await t.rejects(second.refresh(), refused('invalid_grant', 400));
    });
  }

  t.test('simple-oauth2 understands every OAuth error', async (t) => {
    const tokens = await issue();
    await t.rejects(held(clientWith('header', 'web', 'wrong'), tokens).refresh(), refused('invalid_client', 401));
    await t.rejects(held(clientWith('body', 'nobody'), tokens).revoke('access_token'), refused('invalid_client', 401));
    await t.rejects(held(clientWith('header', 'resource-server'), tokens).refresh(), refused('invalid_grant', 400));
    await t.rejects(
      held(clientWith('header', 'resource-server'), tokens).revoke('refresh_token'),
      refused('invalid_grant', 400),
    );
    await t.rejects(held(clientWith('header'), tokens).refresh({ scope: 'admin' }), refused('invalid_scope', 400));
    await t.rejects(
      clientWith('header').getToken({ code: 'x', redirect_uri: 'https://app.example' }),
      refused('unsupported_grant_type', 400),
    );
    t.ok(await store.authenticate(tokens.pair.access.token));
  });
});
