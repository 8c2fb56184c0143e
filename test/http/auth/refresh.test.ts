import Fastify from 'fastify';
import t, { type Test } from 'tap';
import type { AuthEvent } from '../../../src/http/flows/audit.js';
import { latchkey } from '../../../src/plugin.js';
import { readRedisTime } from '../../../src/redis/clock.js';
import { partitionOf } from '../../../src/redis/keys.js';
import type { IssuedTokens } from '../../../src/sessions/session.js';
import { parseAccessToken, TokenKeys } from '../../../src/sessions/token.js';
import { endedKey } from '../../support/redis/ended-key.js';
import { assertLifetime, timeInRedis } from '../../support/redis/expiry.js';
import {
  ACCESS_COOKIE,
  bearer,
  browser,
  CookieJar,
  REFRESH_COOKIE,
  setCookies,
  startService,
} from '../../support/service.js';

const GRACE_MS = 30_000;
const DAY_MS = 86_400_000;

const service = await startService();
t.teardown(() => service.close());
const { post, get, client, keys, mint, age, store } = service;
const refresh = (token: string, headers?: Record<string, string>) =>
  post('/auth/refresh', { refresh_token: token }, headers);

t.test('a refresh token in the body is exchanged for the next pair in the body', async (t) => {
  const { pair, principal } = await mint();
  const reply = await refresh(pair.refresh.token);
  t.equal(reply.statusCode, 200);
  t.same(setCookies(reply), []);
  const body = reply.json();
  t.match(body, { token_type: 'Bearer', expires_in: 900, session: { session_id: principal.sessionId } });
  t.ok([2_592_000, 2_591_999].includes(body.refresh_expires_in), 'refresh_expires_in is in whole seconds');
  t.not(body.refresh_token, pair.refresh.token);
  const parsed = store.parseRefreshToken(body.refresh_token);
  t.match(parsed, { sessionId: principal.sessionId, generation: 2 });
  t.equal((await get('/auth/session', { authorization: `Bearer ${body.access_token}` })).statusCode, 200);
});

t.test('a refresh token in a cookie is exchanged for cookies, without a token in the body', async (t) => {
  const tokens = await mint();
  const reply = await post('/auth/refresh', undefined, browser(tokens));
  t.equal(reply.statusCode, 200);
  t.notMatch(reply.body, /lk[ar]_/);
  const [access, successor, ...others] = [reply.headers['set-cookie'] ?? []].flat();
  t.match(access, /^__Host-Http-latchkey=lka_[\w-]{51}; Max-Age=900; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  t.match(
    successor,
    /^__Http-latchkey-refresh=lkr_[\w-]{126}; Max-Age=2592000; Path=\/auth; HttpOnly; Secure; SameSite=Lax$/,
  );
  t.same(others, []);
});

t.test('a refresh whose outcome is unchanged sets only the access cookie', async (t) => {
  const jar = new CookieJar();
  jar.keep(await post('/auth/refresh', undefined, browser(await mint())));
  const again = await post('/auth/refresh', undefined, jar.headers('/auth/refresh'));
  t.equal(again.statusCode, 200);
  t.same(
    setCookies(again).map(({ name, value }) => [name, value]),
    [[ACCESS_COOKIE, jar.value(ACCESS_COOKIE)]],
  );
  const inBody = await refresh(jar.value(REFRESH_COOKIE)!);
  t.match(
    inBody.json(),
    { refresh_token: jar.value(REFRESH_COOKIE), access_token: jar.value(ACCESS_COOKIE) },
    'a bearer client gets both tokens again',
  );
});

t.test('concurrent refreshes with one token return the same pair', async (t) => {
  const { pair } = await mint();
  const replies = await Promise.all(Array.from({ length: 20 }, () => refresh(pair.refresh.token)));
  t.same(new Set(replies.map(({ statusCode }) => statusCode)), new Set([200]));
  const bodies = new Set(replies.map((reply) => `${reply.json().access_token} ${reply.json().refresh_token}`));
  t.equal(bodies.size, 1);
});

t.test('the previous access token stays valid for the grace period', async (t) => {
  const tokens = await mint();
  const { result: reply, ...span } = await timeInRedis(client, () => refresh(tokens.pair.refresh.token));
  t.equal(reply.statusCode, 200);
  t.equal((await get('/auth/session', bearer(tokens))).statusCode, 200);
  const { partition, digest } = tokens.pair.access;
  await assertLifetime(t, client, keys.access(partition, digest), GRACE_MS, span);
});

t.test('a refused refresh is 403 reauthentication_required with a reason', async (t) => {
  const assertRefused = async (t: Test, reason: string, request: ReturnType<typeof refresh>) => {
    const reply = await request;
    t.equal(reply.statusCode, 403, reason);
    t.match(reply.json(), { status: 403, code: 'reauthentication_required', reason });
    t.same(setCookies(reply), [], 'the browser keeps its cookies');
    t.notMatch(reply.body, /lk[ar]_/);
  };

  t.test('the reason is missing without a refresh token', async (t) => {
    await assertRefused(t, 'missing', post('/auth/refresh'));
    await assertRefused(t, 'missing', post('/auth/refresh', {}));
    await assertRefused(t, 'missing', post('/auth/refresh', undefined, browser(await mint(), 'access')));
  });

  t.test('the reason is invalid for a forged refresh token: Redis is not asked and no session ends', async (t) => {
    const { pair } = await mint();
    const { token, partition } = pair.refresh;
    const foreign = new TokenKeys(['another secret, of thirty-two or more']).mint(partition).refresh.token;
    const bytes = Buffer.from(token.slice(4), 'base64url');
    bytes[40]! ^= 1;
    const altered = `lkr_${bytes.toString('base64url')}`;
    const before = Number(/evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1]);
    for (const forged of [
      foreign,
      altered,
      pair.access.token,
      `${token}A`,
      token.slice(0, -1),
      '',
      'x'.repeat(10_000),
    ]) {
      await assertRefused(t, 'invalid', refresh(forged));
    }
    await assertRefused(
      t,
      'invalid',
      post('/auth/refresh', undefined, { cookie: `${REFRESH_COOKIE}=${foreign}`, 'sec-fetch-site': 'same-origin' }),
    );
    t.equal(Number(/evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1]), before);
    t.equal((await refresh(token)).statusCode, 200);
  });

  t.test('the reason is unknown for a session that no record is left of', async (t) => {
    await assertRefused(
      t,
      'unknown',
      refresh(new TokenKeys(service.config.tokenKeys).mint(partitionOf('nobody')).refresh.token),
    );
  });

  t.test('the reason is why the session ended', async (t) => {
    for (const reason of [
      'logged_out',
      'logged_out_elsewhere',
      'password_changed',
      'superseded',
      'evicted',
      'revoked',
    ] as const) {
      const { pair, principal } = await mint();
      await store.revoke(principal.subject, principal.sessionId, reason);
      await assertRefused(t, reason, refresh(pair.refresh.token));
      await assertRefused(t, reason, refresh(pair.refresh.token));
    }
  });

  t.test('the reason is reused if the successor of the token was used longer ago than the grace period', async (t) => {
    const first = await mint();
    const { pair, principal } = first;
    const second = (await refresh(pair.refresh.token)).json();
    t.equal(
      (await refresh(second.refresh_token)).json().refresh_token,
      second.refresh_token,
      'a refresh with the successor confirms it',
    );
    await age(first, GRACE_MS);
    await assertRefused(t, 'reused', refresh(pair.refresh.token));
    await assertRefused(t, 'reused', refresh(second.refresh_token));
    t.equal((await get('/auth/session', { authorization: `Bearer ${second.access_token}` })).statusCode, 401);
    const { partition } = pair.refresh;
    t.same(
      (await client.keys(`${service.config.redisPrefix}{${partition}}:*`)).sort(),
      [endedKey(keys, { partition, sessionId: principal.sessionId }), keys.endings(principal.subject)].sort(),
    );
  });
});

t.test('a lost refresh response can be requested again long after the grace period', async (t) => {
  const first = await mint();
  const lost = (await refresh(first.pair.refresh.token)).json();
  await age(first, 20 * 3_600_000);
  const again = await refresh(first.pair.refresh.token);
  t.match(again.json(), { access_token: lost.access_token, refresh_token: lost.refresh_token });
});

t.test('a refresh token expires after the idle timeout', async (t) => {
  const { result: tokens, ...span } = await timeInRedis(client, () => mint());
  const { partition, sessionId, token } = tokens.pair.refresh;
  const key = keys.session(partition, sessionId);
  await assertLifetime(t, client, key, 30 * DAY_MS, span);
  await client.pexpire(key, 0);
  t.equal((await refresh(token)).json().reason, 'unknown');
});

t.test('a refresh renews the idle timeout, but never beyond the absolute lifetime', async (t) => {
  const first = await mint();
  const { partition, sessionId, token } = first.pair.refresh;
  const key = keys.session(partition, sessionId);
  await client.pexpire(key, DAY_MS);
  const { result: renewed, ...span } = await timeInRedis(client, () => refresh(token));
  t.equal(renewed.statusCode, 200);
  await assertLifetime(t, client, key, 30 * DAY_MS, span);

  const endsAt = (await readRedisTime(client)) + DAY_MS;
  await client.hset(key, 'endsAt', endsAt);
  await age(first, DAY_MS + 1);
  const last = (await refresh(renewed.json().refresh_token)).json();
  t.not(last.refresh_token, renewed.json().refresh_token);
  t.ok(last.refresh_expires_in <= DAY_MS / 1000);
  const { digest } = parseAccessToken(last.access_token)!;
  t.equal(await client.pexpiretime(key), endsAt);
  for (const each of [keys.access(partition, digest), keys.sessions(first.principal.subject)]) {
    const expiresAt = await client.pexpiretime(each);
    t.ok(expiresAt > 0 && expiresAt <= endsAt, `${each} expires by the end of the session`);
  }
});

t.test('refreshes are reported as events', async (t) => {
  const events: AuthEvent[] = [];
  const app = Fastify();
  t.teardown(() => app.close());
  const { redisPrefix, tokenKeys } = service.config;
  await app.register(latchkey, { redis: client, redisPrefix, tokenKeys, onEvent: (event) => events.push(event) });
  const refreshFrom = (remoteAddress: string, { pair }: IssuedTokens, agent = 'curl/8.14.1') =>
    app.inject({
      method: 'POST',
      url: '/auth/refresh',
      payload: { refresh_token: pair.refresh.token },
      headers: { 'user-agent': agent },
      remoteAddress,
    });
  const takeEvents = () => events.splice(0).map(({ outcome, reason, address }) => [outcome, reason ?? '', address]);

  const origin = { device: 'curl 8', address: '192.0.2.1' };
  const tokens = await mint('someone', { origin });
  await refreshFrom('192.0.2.1', tokens);
  t.same(takeEvents(), [['success', '', '192.0.2.1']]);
  await refreshFrom('192.0.2.1', tokens);
  t.same(takeEvents(), [], 'a repeated refresh is not reported');
  await refreshFrom('192.0.2.2', tokens);
  t.same(takeEvents(), [['suspicious', 'retried_elsewhere', '192.0.2.2']]);
  await refreshFrom('192.0.2.1', tokens, 'Wget/1.25');
  t.same(
    takeEvents(),
    [['suspicious', 'retried_elsewhere', '192.0.2.1']],
    'another browser at the same address is reported',
  );

  const { pair } = (await store.rotate(tokens.pair.refresh, origin)) as IssuedTokens;
  await store.rotate(pair.refresh, origin);
  await age(tokens, GRACE_MS);
  await refreshFrom('192.0.2.3', tokens);
  t.same(takeEvents(), [['failure', 'reused', '192.0.2.3']]);
  await refreshFrom('192.0.2.3', tokens);
  t.same(takeEvents(), [['failure', 'reused', '192.0.2.3']]);
});
