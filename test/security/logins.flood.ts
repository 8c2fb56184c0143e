import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { startRedis } from '../support/redis.js';
import { spawnService } from '../support/service-process.js';
import { flood } from './flood.js';

const ROUNDS = 5;
const MIB = 1024 * 1024;
const SLOTS = Math.min(Math.max(1, availableParallelism() - 1), 3);
const PASSWORD = 'correct horse battery staple';

t.test('500 logins at once: checks within 50 ms (p99), memory within slots × 19 MiB, the excess 429 or 503', { timeout: 600_000 }, async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const service = spawnService({ REDIS_URL: redis.url, TOKEN_KEYS: 'a secret of at least thirty-two characters' }, { asItIs: true });
  t.teardown(() => service.end());
  const { url } = await service.ready();
  const memory = async () => {
    const status = await readFile(`/proc/${service.process.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
  };
  const post = async (path: string, body: object) => {
    const reply = await fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return (await reply.json()) as { access_token: string };
  };
  await post('/auth/register', { username: 'ada', password: PASSWORD });
  const wave = async (logins: number) => {
    // A session of its own for each: those that the flood begins make room for themselves among the oldest.
    const { access_token: access } = await post('/auth/login', { username: 'ada', password: PASSWORD, transport: 'bearer' });
    return flood({ url }, { username: 'ada', password: PASSWORD, logins, access });
  };
  // Connections, compiled code and one hash have taken what they take.
  for (let i = 0; i < 3; i++) await wave(500);

  const results = [];
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(1_000);
    const before = await memory();
    let most = before;
    let sampling = true;
    const sampled = (async () => {
      while (sampling) {
        most = Math.max(most, await memory());
        await sleep(5);
      }
    })();
    const { statuses, checks } = await wave(500);
    sampling = false;
    await sampled;
    const growth = Math.round(((most - before) / MIB) * 10) / 10;
    results.push({ p99: checks.p99, growth });
    t.comment(JSON.stringify({ statuses, checks, growthMiB: growth }));
    t.same(Object.keys(statuses).filter((status) => !['200', '429', '503'].includes(status)), []);
    t.equal(checks.failed, 0);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
  const p99 = median(results.map((result) => result.p99));
  const growth = median(results.map((result) => result.growth));
  t.ok(p99 < 50, `p99 of a check ${p99} ms`);
  t.ok(growth <= SLOTS * 19 + 19, `memory grew by ${growth} MiB with ${SLOTS} slots`);
});
