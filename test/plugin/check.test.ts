import t from 'tap';
import { createChecker, LatchkeyError, UnavailableError } from '../../src/check.js';
import { startRedis } from '../support/redis.js';
import { hostApp, ORIGIN } from './support.js';

const server = await startRedis();
t.teardown(() => server.stop());
const redis = server.client();
const identity = { subject: 'ada', methods: ['pwd'] };

t.test('a checker authenticates tokens that another service issued, until they expire or are revoked', async (t) => {
  const app = await hostApp(t, redis, { redisPrefix: 'lk:' });
  const checker = createChecker({ redis });
  const { pair, principal } = await app.latchkey.issue({ identity, origin: ORIGIN });
  t.match(await checker.authenticate(pair.access.token), { subject: 'ada', sessionId: principal.sessionId });
  await app.latchkey.revoke('ada', principal.sessionId, 'revoked');
  t.equal(await checker.authenticate(pair.access.token), undefined);
  for (const token of ['', 'lka_x', pair.refresh.token]) t.equal(await checker.authenticate(token), undefined);
  await checker.close();
  t.equal(await redis.ping(), 'PONG', 'the client stays open');
});

t.test('a checker reads keys under its configured prefix only', async (t) => {
  const app = await hostApp(t, redis, { redisPrefix: 'theirs:' });
  const { pair } = await app.latchkey.issue({ identity, origin: ORIGIN });
  t.equal(await createChecker({ redis }).authenticate(pair.access.token), undefined);
  t.match(await createChecker({ redis, redisPrefix: 'theirs:' }).authenticate(pair.access.token), { subject: 'ada' });
});

t.test('tokens checked in the same event-loop turn are read from Redis together', async (t) => {
  const app = await hostApp(t, redis, { redisPrefix: 'lk:' });
  const tokens = await Promise.all(Array.from({ length: 10 }, () => app.latchkey.issue({ identity, origin: ORIGIN })));
  const reads = async () => Number(/cmdstat_mget:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0);
  const before = await reads();
  const checker = createChecker({ redis });
  await Promise.all(tokens.map(({ pair }) => checker.authenticate(pair.access.token)));
  t.equal(await reads(), before + 1);
});

t.test(
  'an outage rejects with UnavailableError, and a failed confirmation is reported in the background',
  async (t) => {
    const app = await hostApp(t, redis, { redisPrefix: 'lk:' });
    const { pair } = await app.latchkey.issue({ identity, origin: ORIGIN });
    const own = server.client();
    own.disconnect();
    await t.rejects(createChecker({ redis: own }).authenticate(pair.access.token), UnavailableError);
    t.ok(UnavailableError.prototype instanceof LatchkeyError);

    const refreshed = await app.inject({
      method: 'POST',
      url: '/auth/refresh',
      payload: { refresh_token: pair.refresh.token },
    });
    const { access_token: fresh } = refreshed.json();
    await redis.acl('SETUSER', 'reader', 'on', 'nopass', '~*', '+@all', '-evalsha', '-eval');
    for (const faults of [[], undefined] as (unknown[] | undefined)[]) {
      const reader = server.client({ username: 'reader', password: 'any' });
      const checker = createChecker({
        redis: reader,
        ...(faults && { onBackgroundFault: (error: unknown) => faults.push(error) }),
      });
      t.match(await checker.authenticate(fresh), { subject: 'ada' });
      await checker.close();
      if (faults) t.equal(faults.length, 1);
      reader.disconnect();
    }
  },
);
