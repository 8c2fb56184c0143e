import t from 'tap';
import { waitForReplicas } from '../../src/redis/replicas.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { startCluster } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { newSubject, storeOn } from './fixture.js';
import { testSessionStore } from './store/suite.js';

const { nodes, cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
t.teardown(stop);
const client = cluster();
await client.ping();

testSessionStore(t, client);

t.test('the lookups of one event-loop turn are sent as one pipeline to each node of a Cluster', async (t) => {
  const s = storeOn(client);
  t.teardown(() => s.store.close());
  const servers = nodes.map((node) => node.client());
  const logins = await Promise.all(Array.from({ length: 300 }, () => s.login(newSubject())));

  const areGathered = async () => {
    const before = await Promise.all(servers.map(readsOf));
    const principals = await Promise.all(logins.map(({ pair }) => s.store.authenticate(pair.access.token)));
    const after = await Promise.all(servers.map(readsOf));
    t.same(
      principals,
      logins.map(({ principal }) => principal),
      'each lookup gets its own principal',
    );
    const commands = after.map(({ gets }, i) => gets - before[i]!.gets);
    t.equal(
      commands.reduce((sum, count) => sum + count),
      300,
      'one GET for each lookup',
    );
    t.ok(
      commands.every((count) => count > 50),
      `every node serves some: ${commands.join(', ')}`,
    );
    const reads = after.map(({ reads }, i) => reads - before[i]!.reads);
    t.comment(`socket reads: ${reads.join(', ')}`);
    // Apart from the pipeline, a node reads the INFO of this test and messages of the Cluster.
    return reads.every((count) => count <= 8);
  };
  await until('the lookups are gathered', areGathered);
  t.same(await findKeysWithoutExpiry(client, s.prefix), []);
});

t.test('a lookup finds a slot that has moved to another node', async (t) => {
  const s = storeOn(client);
  const logins = await Promise.all(Array.from({ length: 60 }, () => s.login()));
  const known = [...client.slots];
  // The client believes that each slot belongs to the next node.
  const owners = [...new Set(known.map((slot) => slot[0]!))];
  const misled = known.map((slot) => [owners[(owners.indexOf(slot[0]!) + 1) % owners.length]!]);
  client.slots = misled;
  const principals = await Promise.all(logins.map(({ pair }) => s.store.authenticate(pair.access.token)));
  t.same(
    principals,
    logins.map(({ principal }) => principal),
  );
  await until('ioredis knows the owners again', async () => client.slots.every((slot, i) => slot[0] === known[i]![0]));
});

t.test('sessions work on a Cluster client that has a key prefix', async (t) => {
  const prefixed = cluster({ keyPrefix: 'of the host:' });
  const s = storeOn(prefixed);
  const { pair, principal } = await s.login();
  t.same(await s.store.authenticate(pair.access.token), principal);
  t.equal(await client.exists(`of the host:${s.accessKey(pair)}`), 1);
  const marker = s.keys.replicationMarker(pair.access.partition);
  for (const key of [marker, `of the host:${marker}`]) await client.set(key, 'before');
  await t.rejects(waitForReplicas(prefixed, marker, { replicas: 1, timeoutMs: 1 }), { code: 'unavailable' });
  t.equal(await client.get(marker), 'before');
  t.not(await client.get(`of the host:${marker}`), 'before', 'the marker is written with the prefix');
});

t.test('authenticate rejects as unavailable while no node of the Cluster is connected', async (t) => {
  const lost = cluster({ slotsRefreshTimeout: 200, clusterRetryStrategy: () => 50, enableOfflineQueue: false });
  const s = storeOn(lost);
  await t.rejects(
    s.store.authenticate(s.tokenKeys.mint('0000').access.token),
    { code: 'unavailable' },
    'not ready yet',
  );
  lost.disconnect();
  await t.rejects(s.store.authenticate(s.tokenKeys.mint('0000').access.token), { code: 'unavailable' }, 'closed');
});

/** How many GET commands and socket reads a node has served. */
async function readsOf(server: ReturnType<(typeof nodes)[number]['client']>) {
  const info = await server.info('all');
  const number = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0);
  return { gets: number(/cmdstat_get:calls=(\d+)/), reads: number(/total_reads_processed:(\d+)/) };
}
