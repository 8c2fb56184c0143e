import t from 'tap';
import { startRedis } from '../support/redis.js';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

t.test('a Redis whose clock is moved', async (t) => {
  const redis = await startRedis({ clock: true });
  t.teardown(() => redis.stop());
  const client = redis.client();
  const time = async () => Number((await client.time())[0]) * 1_000;

  t.ok(Math.abs((await time()) - Date.now()) < 2_000, 'starts out right');

  await client.set('access', 'token', 'PX', 15 * MINUTE);
  await client.set('refresh', 'token', 'PX', 30 * DAY);
  await redis.moveClock(15 * MINUTE - 5_000);
  t.equal(await client.get('access'), 'token');
  t.ok((await client.pttl('access')) <= 5_000);
  await redis.moveClock(5_000);
  t.equal(await client.get('access'), null, '15 minutes are over');
  t.equal(await client.pttl('access'), -2);

  await redis.moveClock(30 * DAY - 15 * MINUTE - 5_000);
  t.equal(await client.get('refresh'), 'token');
  await redis.moveClock(5_000);
  t.equal(await client.get('refresh'), null, '30 days are over');

  const [seconds] = (await client.eval("return redis.call('TIME')", 0)) as [string];
  t.ok(Math.abs(Number(seconds) * 1_000 - Date.now() - 30 * DAY) < 2_000, 'a script sees the same time');
  await redis.restart();
  t.ok(Math.abs((await time()) - Date.now() - 30 * DAY) < 2_000, 'and so does the server after a restart');
  await redis.moveClock(-30 * DAY);
  t.ok(Math.abs((await time()) - Date.now()) < 2_000, 'and back again');
});
