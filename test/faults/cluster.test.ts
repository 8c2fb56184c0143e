import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { connect, waitUntilReady } from '../../src/redis/connect.js';
import { storeOn } from '../sessions/fixture.js';
import { awakeMs } from '../support/cpu.js';
import { startCluster } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';

const DEADLINE = 500;
const SLACK = 800;

const cluster = await startCluster({
  masters: 3,
  args: ['--appendonly', 'no', '--cluster-require-full-coverage', 'no'],
});
t.teardown(() => cluster.stop());
const client = connect(cluster.location, { timeoutMs: DEADLINE, name: 'latchkey-test', onError: () => undefined });
t.teardown(() => client.disconnect());
await waitUntilReady(client, 60_000);
const s = storeOn(client);
t.teardown(() => s.store.close());

t.test('a Cluster node that stops answering fails its operations within the deadline, and no others', async (t) => {
  const logins = await Promise.all(Array.from({ length: 60 }, () => s.login()));
  const [node] = cluster.nodes;
  let [faults, slowest, answers] = [0, 0, 0];

  const ask = async (operation: () => Promise<boolean>) => {
    const begun = awakeMs();
    try {
      if (!(await operation())) t.fail('an active session was not found');
      answers++;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      faults++;
    }
    slowest = Math.max(slowest, awakeMs() - begun);
  };
  const askAll = () =>
    Promise.all(
      logins.flatMap(({ pair, principal }) => [
        ask(async () => (await s.store.authenticate(pair.access.token)) !== undefined),
        ask(async () => (await s.store.list(principal.subject)).length === 1),
      ]),
    );

  await askAll();
  t.equal(faults, 0);
  node!.pause();
  answers = 0;
  for (let i = 0; i < 5; i++) {
    await askAll();
    await sleep(100);
  }
  t.ok(faults > 100 && answers > 200, `${faults} faults, ${answers} answers of the other nodes`);
  t.ok(slowest < DEADLINE + SLACK, `the slowest took ${slowest} ms`);
  node!.resume();
  await until('every operation works again', async () => {
    faults = 0;
    await askAll();
    return faults === 0;
  });
});
