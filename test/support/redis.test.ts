import { stat } from 'node:fs/promises';
import t from 'tap';
import { startCluster, startRedis, startSentinel } from './redis.js';
import { until } from './redis/waiting.js';

t.test('startRedis gives a server that survives crashes and pauses, and leaves nothing behind', async (t) => {
  const redis = await startRedis({ args: ['--maxmemory', '64mb'] });
  const client = redis.client();
  t.same(await client.config('GET', 'maxmemory'), ['maxmemory', String(64 * 1024 * 1024)]);
  t.same(await client.config('GET', 'appendfsync'), ['appendfsync', 'always'], 'redis.conf is in force');

  await client.set('kept', 'yes');
  await redis.kill();
  await redis.restart();
  t.equal(await client.get('kept'), 'yes', 'keeps port and data through a crash');

  const hasty = redis.client({ commandTimeout: 100, maxRetriesPerRequest: 0 });
  t.equal(await hasty.ping(), 'PONG');
  redis.pause();
  await t.rejects(hasty.get('kept'), /timed out/);
  redis.resume();
  t.equal(await hasty.get('kept'), 'yes');

  redis.pause();
  await redis.stop();
  await t.rejects(stat(redis.directory), { code: 'ENOENT' }, 'leaves nothing behind');
});

t.test('startCluster gives a Cluster with replicas', async (t) => {
  const { nodes, urls, cluster, stop } = await startCluster({ masters: 3, replicas: 1 });
  t.teardown(stop);
  t.equal(nodes.length, 6);
  t.equal(urls.split(',').length, 6);
  const client = cluster();
  for (let i = 0; i < 50; i++) await client.set(`key:${i}`, i);
  t.equal(await client.get('key:49'), '49');
  t.equal(client.nodes('master').length, 3);
  t.equal(client.nodes('slave').length, 3);
});

t.test('startSentinel gives a Sentinel that fails over', async (t) => {
  const { url, master, replica, client, stop } = await startSentinel();
  t.teardown(stop);
  t.match(url, /^redis\+sentinel:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+\/mymaster$/);
  const redis = client({ maxRetriesPerRequest: null });
  await redis.set('before', 'yes');
  await redis.call('WAIT', 1, 5_000);
  await master.kill();
  const promoted = replica.client();
  await until('the replica is promoted', async () => (await promoted.info('replication')).includes('role:master'));
  t.equal(await redis.get('before'), 'yes');
  t.equal(await redis.set('after', 'yes'), 'OK');
  t.equal(await promoted.get('after'), 'yes');
});
