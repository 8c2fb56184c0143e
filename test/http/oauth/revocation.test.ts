import t from 'tap';
import { keysUnder } from '../../support/audit.js';
import { CONFIDENTIAL, OTHER, PUBLIC, startAuthorizationServer } from './fixture.js';

t.test('POST /oauth/revoke', async (t) => {
  const server = await startAuthorizationServer(t);
  const { send, issue, store, client, config, events } = server;
  const revoke = (token: string, form: Record<string, string> = CONFIDENTIAL) =>
    send('/oauth/revoke', { token, ...form });

  t.test('revoking either token of a pair ends the session and deletes its keys', async (t) => {
    for (const which of ['access', 'refresh'] as const) {
      for (const [id, form] of [
        ['web', CONFIDENTIAL],
        ['spa', PUBLIC],
      ] as const) {
        const { pair, principal } = await issue(id);
        const reply = await revoke(pair[which].token, form);
        t.equal(reply.statusCode, 200);
        t.equal(reply.body, '{}');
        t.match(reply.headers['content-type'], /^application\/json/);
        const { subject, sessionId } = principal;
        t.same(events.at(-1), {
          event: 'session_end',
          outcome: 'success',
          reason: 'revoked',
          subject,
          sessionId,
          address: '127.0.0.1',
        });
        t.equal(await store.authenticate(pair.access.token), undefined);
        t.same(await store.list(principal.subject), []);
        t.equal((await revoke(pair[which].token, form)).statusCode, 200, 'revoking it again');
      }
    }
    const left = await keysUnder(client, config.redisPrefix);
    t.ok(left.length > 0 && left.every((key) => /}:(ended|endings):/.test(key)), left.join());
  });

  t.test('revoking an older refresh token ends the session too', async (t) => {
    const { pair } = await issue();
    const next = (
      await send('/oauth/token', { grant_type: 'refresh_token', refresh_token: pair.refresh.token, ...CONFIDENTIAL })
    ).json();
    t.equal((await revoke(pair.refresh.token)).statusCode, 200);
    t.equal(await store.authenticate(next.access_token), undefined);
  });

  t.test('revoking an unknown token is answered with 200', async (t) => {
    for (const token of ['x', 'lka_x', 'lkr_x', 'é']) {
      t.equal((await revoke(token)).statusCode, 200);
      t.equal((await send('/oauth/revoke', { token, token_type_hint: 'nonsense', ...PUBLIC })).statusCode, 200);
    }
  });

  t.test('a token of another client, or of none, is not revoked', async (t) => {
    const theirs = await issue('web');
    const ours = await server.mint();
    for (const { pair } of [theirs, ours]) {
      for (const { token } of [pair.access, pair.refresh]) {
        for (const form of [OTHER, PUBLIC]) {
          const reply = await revoke(token, form);
          t.equal(reply.statusCode, 400);
          t.strictSame(reply.json(), {
            error: 'invalid_grant',
            error_description: 'The token was issued to another client.',
          });
        }
      }
      t.ok(await store.authenticate(pair.access.token));
    }
  });
});
