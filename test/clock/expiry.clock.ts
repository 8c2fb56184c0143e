import t from 'tap';
import { startRedis } from '../support/redis.js';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

t.test('the clock of a Redis moves only when the test moves it, and keys expire by it', async (t) => {
  const before = Date.now();
  const redis = await startRedis({ clock: true });
  t.teardown(() => redis.stop());
  const client = redis.client();
  const toMs = ([seconds, microseconds]: (string | number)[]) => Number(seconds) * 1_000 + Number(microseconds) / 1_000;
  const now = async () => toMs(await client.time());

  const startedAt = await now();
  t.ok(startedAt >= before && startedAt <= Date.now(), 'it starts with the real time');

  await client.set('access', 'token', 'PX', 15 * MINUTE);
  await client.set('refresh', 'token', 'PX', 30 * DAY);
  await redis.moveClock(15 * MINUTE);
  t.equal(await client.get('access'), 'token', 'a key lives until its 15 minutes are over');
  t.equal(await client.pttl('access'), 0);
  await redis.moveClock(1);
  t.equal(await client.get('access'), null, 'a key is gone a millisecond later');
  t.equal(await client.pttl('access'), -2);

  await redis.moveClock(30 * DAY - 15 * MINUTE - 1);
  t.equal(await client.get('refresh'), 'token', 'a key lives until its 30 days are over');
  await redis.moveClock(1);
  t.equal(await client.get('refresh'), null, 'a key is gone a millisecond after its 30 days');

  const inScript = (await client.eval("return redis.call('TIME')", 0)) as [string, string];
  t.equal(toMs(inScript), startedAt + 30 * DAY + 1, 'a script sees the same time');
  await redis.restart();
  t.equal(await now(), startedAt + 30 * DAY + 1, 'a restarted server sees the same time');
  await redis.moveClock(-30 * DAY - 1);
  t.equal(await now(), startedAt, 'the clock can be moved back');
});
