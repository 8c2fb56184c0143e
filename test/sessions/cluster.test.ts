import t from 'tap';
import { waitForReplicas } from '../../src/redis/replicas.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { until } from '../support/redis/waiting.js';
import { startCluster } from '../support/redis.js';
import { testSessionStore } from './store/suite.js';
import { newSubject, storeOn } from './fixture.js';

const { nodes, cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
t.teardown(stop);
const client = cluster();
await client.ping();

testSessionStore(t, client);

t.test('lookups of one event-loop turn are gathered for each owner of slots', async (t) => {
  const s = storeOn(client);
  t.teardown(() => s.store.close());
  const servers = nodes.map((node) => node.client());
  const logins = await Promise.all(Array.from({ length: 300 }, () => s.login(newSubject())));

  const gathered = async () => {
    const before = await Promise.all(servers.map(readsOf));
    const principals = await Promise.all(logins.map(({ pair }) => s.store.authenticate(pair.access.token)));
    const after = await Promise.all(servers.map(readsOf));
    t.same(
      principals,
      logins.map(({ principal }) => principal),
      'each is told what is its own',
    );
    const commands = after.map(({ gets }, i) => gets - before[i]!.gets);
    t.equal(
      commands.reduce((sum, count) => sum + count),
      300,
      'one read for each',
    );
    t.ok(
      commands.every((count) => count > 50),
      `on every owner: ${commands.join(', ')}`,
    );
    const reads = after.map(({ reads }, i) => reads - before[i]!.reads);
    t.comment(`${reads.join(', ')} reads of the sockets`);
    // Beside the pipeline itself, the INFO of this test and what keeps the Cluster’s connections.
    return reads.every((count) => count <= 8);
  };
  await until('they are gathered', gathered);
  t.same(await findKeysWithoutExpiry(client, s.prefix), []);
});

t.test('a slot that has moved is found where it is', async (t) => {
  const s = storeOn(client);
  const logins = await Promise.all(Array.from({ length: 60 }, () => s.login()));
  const known = [...client.slots];
  // As if all slots had been with the next node when the client last asked.
  const owners = [...new Set(known.map((slot) => slot[0]!))];
  const misled = known.map((slot) => [owners[(owners.indexOf(slot[0]!) + 1) % owners.length]!]);
  client.slots = misled;
  const principals = await Promise.all(logins.map(({ pair }) => s.store.authenticate(pair.access.token)));
  t.same(
    principals,
    logins.map(({ principal }) => principal),
  );
  await until('ioredis has learned it', async () => client.slots.every((slot, i) => slot[0] === known[i]![0]));
});

t.test('under a prefix of ioredis’ own too', async (t) => {
  const prefixed = cluster({ keyPrefix: 'of the host:' });
  const s = storeOn(prefixed);
  const { pair, principal } = await s.login();
  t.same(await s.store.authenticate(pair.access.token), principal);
  t.equal(await client.exists(`of the host:${s.accessKey(pair)}`), 1);
  const mark = s.keys.mark(pair.access.partition);
  await t.rejects(waitForReplicas(prefixed, mark, { replicas: 1, timeoutMs: 1 }), { code: 'unavailable' });
  t.equal(await client.exists(`of the host:${mark}`), 1);
});

t.test('without a Cluster at hand, every read is answered with a fault', async (t) => {
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

async function readsOf(server: ReturnType<(typeof nodes)[number]['client']>) {
  const info = await server.info('all');
  const number = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0);
  return { gets: number(/cmdstat_get:calls=(\d+)/), reads: number(/total_reads_processed:(\d+)/) };
}
