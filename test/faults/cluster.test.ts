import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { connect, waitUntilReady } from '../../src/redis/connect.js';
import { startCluster } from '../support/redis.js';
import { storeOn } from '../sessions/fixture.js';

const DEADLINE = 500;
const SLACK = 800;

const cluster = await startCluster({
  masters: 3,
  args: ['--appendonly', 'no', '--cluster-require-full-coverage', 'no'],
});
t.teardown(() => cluster.stop());
const client = connect(
  {
    kind: 'cluster',
    nodes: cluster.nodes.map(({ host, port }) => ({ host, port })),
    tls: false,
    username: undefined,
    password: undefined,
  },
  { timeoutMs: DEADLINE, name: 'latchkey-test', onError: () => undefined },
);
t.teardown(() => client.disconnect());
await waitUntilReady(client, 60_000);
const s = storeOn(client);
t.teardown(() => s.store.close());

t.test('a node that stops answering, or is gone, is told within the deadline, and the others go on', async (t) => {
  const logins = await Promise.all(Array.from({ length: 60 }, () => s.login()));
  const [node] = cluster.nodes;
  let [faults, slowest, answers] = [0, 0, 0];

  const ask = async (operation: () => Promise<boolean>) => {
    const begun = performance.now();
    try {
      if (!(await operation())) t.fail('a living session was not known');
      answers++;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      faults++;
    }
    slowest = Math.max(slowest, performance.now() - begun);
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
  t.ok(slowest < DEADLINE + SLACK, `the slowest took ${Math.round(slowest)} ms`);
  node!.resume();
  for (const begun = Date.now(); Date.now() - begun < 15_000; await sleep(100)) {
    faults = 0;
    await askAll();
    if (faults === 0) break;
  }
  t.equal(faults, 0, 'and when it is back, all is well');
});
