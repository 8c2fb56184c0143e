// A client process that calls Redis as fast as it can, for the benchmark of the rotation script.
import { issueTo, newSubject, openStore } from '../lib/latchkey.mjs';

const CALLERS = 50;
const EMPTY = 'return {}';

const store = await openStore(process.env.REDIS_URL, { lifetimes: { refreshGraceMs: 0, refreshRetryWindowMs: 0 } });
const client = store.clients.scripts;
const sha = await client.script('LOAD', EMPTY);
const chains = await Promise.all(
  Array.from({ length: CALLERS }, async () => (await issueTo(store, newSubject())).pair.refresh),
);

const calls = {
  get: (i) => client.get(`lk:{0000}:access:${chains[i].digest}`),
  empty: (i) => client.evalsha(sha, 1, `lk:{0000}:session:${chains[i].sessionId}`),
  rotate: async (i) => {
    const { outcome, pair } = await store.rotate(chains[i], { address: '203.0.113.7' });
    if (outcome !== 'rotated') throw new Error(`A rotation was ${outcome}`);
    chains[i] = pair.refresh;
  },
};

process.once('disconnect', () => process.exit());
process.once('SIGTERM', () => process.exit());
process.on('message', async ({ call, seconds }) => {
  const until = performance.now() + seconds * 1000;
  const before = { cpu: process.cpuUsage(), at: performance.now() };
  let done = 0;
  await Promise.all(
    chains.map(async (_, i) => {
      while (performance.now() < until) {
        await calls[call](i);
        done++;
      }
    }),
  );
  const { user, system } = process.cpuUsage(before.cpu);
  process.send({ rate: (done * 1000) / (performance.now() - before.at), clientCpu: (user + system) / done });
});
process.send({});
