import t from 'tap';
import { withoutExpiry } from '../support/audit.js';
import { until } from '../support/redis/waiting.js';
import { startCluster } from '../support/redis.js';
import { sessionsBehave } from './core.js';
import { newSubject, storeOn } from './fixture.js';

const { nodes, cluster, stop } = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
t.teardown(stop);
const client = cluster();
await client.ping();

sessionsBehave(t, client);

t.test('lookups of one event-loop turn are gathered for each owner of slots', async (t) => {
  const s = storeOn(client);
  t.teardown(() => s.store.close());
  const servers = nodes.map((node) => node.client());
  const logins = await Promise.all(Array.from({ length: 300 }, () => s.login(newSubject())));

  const gathered = async () => {
    const before = await Promise.all(servers.map(readsOf));
    const principals = await Promise.all(logins.map(({ pair }) => s.store.authenticate(pair.access.token)));
    const after = await Promise.all(servers.map(readsOf));
    t.same(principals, logins.map(({ principal }) => principal), 'each is told what is its own');
    const commands = after.map(({ gets }, i) => gets - before[i]!.gets);
    t.equal(commands.reduce((sum, count) => sum + count), 300, 'one read for each');
    t.ok(commands.every((count) => count > 50), `on every owner: ${commands.join(', ')}`);
    const reads = after.map(({ reads }, i) => reads - before[i]!.reads);
    t.comment(`${reads.join(', ')} reads of the sockets`);
    // Beside the pipeline itself, the INFO of this test and what keeps the Cluster’s connections.
    return reads.every((count) => count <= 8);
  };
  // The store's own connection may take a moment; until it is there, reads go one by one.
  await until('they are gathered', gathered, 5_000);
  t.same(await withoutExpiry(client, s.prefix), []);
});

t.test('one that has no owner of its slot at hand answers with a fault, not for ever with nothing', async (t) => {
  const lost = cluster({ slotsRefreshTimeout: 200, clusterRetryStrategy: () => 50, enableOfflineQueue: false });
  const s = storeOn(lost);
  await t.rejects(s.store.authenticate(s.tokenKeys.mint('0000').access.token), { code: 'unavailable' }, 'not ready yet');
  await s.store.close();
  lost.disconnect();
  await t.rejects(s.store.authenticate(s.tokenKeys.mint('0000').access.token), { code: 'unavailable' }, 'closed');
});

async function readsOf(server: ReturnType<(typeof nodes)[number]['client']>) {
  const info = await server.info('all');
  const number = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0);
  return { gets: number(/cmdstat_get:calls=(\d+)/), reads: number(/total_reads_processed:(\d+)/) };
}
