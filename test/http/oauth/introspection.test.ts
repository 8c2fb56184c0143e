import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import { CLOSED_MS, CONFIDENTIAL, OTHER, startAuthorizationServer } from './fixture.js';

t.test('POST /oauth/introspect', async (t) => {
  const server = await startAuthorizationServer(t);
  const { send, issue, client, config, url } = server;
  const introspect = (token: string, form: Record<string, string> = CONFIDENTIAL) =>
    send('/oauth/introspect', { token, ...form });
  const dumpKeys = async () => {
    const keys = await keysUnder(client, config.redisPrefix);
    return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await client.dump(key)])));
  };

  t.test('introspecting an access token tells any resource server what it proves', async (t) => {
    const { pair, principal } = await issue();
    const reply = await introspect(pair.access.token, OTHER);
    t.equal(reply.statusCode, 200);
    t.match(reply.headers, { 'cache-control': 'no-store', 'content-type': /^application\/json/ });
    t.strictSame(reply.json(), {
      active: true,
      iss: url.replace('127.0.0.1', 'localhost'),
      sub: 'subject-1',
      username: 'ada',
      client_id: 'web',
      scope: 'read write',
      token_type: 'Bearer',
      iat: Math.floor((principal.expiresAt - config.accessLifetimeMs) / 1000),
      exp: Math.floor(principal.expiresAt / 1000),
      auth_time: Math.floor(principal.authenticatedAt / 1000),
      amr: ['pwd', 'otp'],
      sid: principal.sessionId,
      data: { tenant: 'acme' },
    });
  });

  t.test('introspection omits client, scope, data and username if the session has none', async (t) => {
    const { pair } = await server.mint('subject-2', { identity: { subject: 'subject-2', methods: ['pwd'] } });
    const reply = (await introspect(pair.access.token)).json();
    t.match(reply, { active: true, sub: 'subject-2' });
    for (const name of ['client_id', 'scope', 'data', 'username']) t.notOk(name in reply, name);
  });

  t.test('introspecting either token gives the acr of the provider login', async (t) => {
    const identity = { subject: 'subject-3', methods: ['federated'], client: 'web' };
    for (const [oidc, acr] of [
      [{ provider: 'corp', sid: 's', acr: 'urn:two-factors' }, 'urn:two-factors'],
      [{ provider: 'corp' }, undefined],
      [{ acr: 2 }, undefined],
      ['of the application', undefined],
      [null, undefined],
    ] as const) {
      const { pair } = await server.mint('subject-3', { identity: { ...identity, data: { oidc } } });
      for (const { token } of [pair.access, pair.refresh]) {
        const reply = (await introspect(token)).json();
        t.equal(reply.active, true);
        t.equal(reply.acr, acr, JSON.stringify(oidc));
      }
    }
  });

  t.test('introspecting an access token confirms its pair', async (t) => {
    const first = await issue();
    const { pair } = first;
    const refreshed = (
      await send('/oauth/token', { grant_type: 'refresh_token', refresh_token: pair.refresh.token, ...CONFIDENTIAL })
    ).json();
    const key = server.keys.session(pair.refresh.partition, pair.refresh.sessionId);
    t.equal(await client.hget(key, 'confirmedAt'), null);
    await introspect(refreshed.access_token);
    await server.untilConfirmed(first);
    t.ok(await client.hget(key, 'confirmedAt'));
  });

  t.test('introspecting a refresh token informs only its own client and changes nothing', async (t) => {
    const { pair, principal } = await issue();
    const before = await dumpKeys();
    const reply = (await introspect(pair.refresh.token)).json();
    const { exp, iat, ...rest } = reply;
    t.equal(exp - iat, config.refreshLifetimeMs / 1000);
    t.match(rest, { active: true, sub: 'subject-1', client_id: 'web', sid: principal.sessionId });
    t.notOk('token_type' in rest, 'a refresh token has no token type');
    t.equal((await introspect(pair.refresh.token, OTHER)).body, '{"active":false}');
    t.strictSame(await dumpKeys(), before);
  });

  t.test('a previous refresh token is active for as long as it can still be used to refresh', async (t) => {
    const first = await issue();
    const refreshed = (
      await send('/oauth/token', {
        grant_type: 'refresh_token',
        refresh_token: first.pair.refresh.token,
        ...CONFIDENTIAL,
      })
    ).json();
    t.equal((await introspect(first.pair.refresh.token)).json().active, true);
    t.equal((await introspect(refreshed.refresh_token)).json().active, true);
    await server.store.authenticate(refreshed.access_token);
    await server.untilConfirmed(first);
    await server.age(first, CLOSED_MS);
    t.equal((await introspect(first.pair.refresh.token)).body, '{"active":false}');
    t.equal((await introspect(refreshed.refresh_token)).json().active, true, 'the session continues');
  });

  t.test('the answer for any inactive token is exactly {"active":false}', async (t) => {
    const { pair, principal } = await issue();
    const ours = await server.mint();
    const foreign = server.store.parseRefreshToken(pair.refresh.token)!;
    await server.store.revoke(principal.subject, principal.sessionId, 'revoked');
    const tokens = [
      pair.access.token,
      pair.refresh.token,
      ours.pair.refresh.token,
      'x',
      'lka_',
      'lkr_',
      `${foreign.token.slice(0, -1)}A`,
      ' ',
      '{}',
      'é',
    ];
    for (const token of tokens) {
      const reply = await introspect(token);
      t.equal(reply.statusCode, 200);
      t.equal(reply.body, '{"active":false}');
      t.equal(
        (await send('/oauth/introspect', { token, token_type_hint: 'refresh_token', ...CONFIDENTIAL })).body,
        '{"active":false}',
      );
    }
  });
});
