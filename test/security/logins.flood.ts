import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { spawnService } from '../support/service-process.js';
import { flood, type Login } from './flood.js';

const ROUNDS = 5;
const MIB = 1024 * 1024;
const SLOTS = Math.min(Math.max(1, availableParallelism() - 1), 3);

const redis = await startRedis();
t.teardown(() => redis.stop());
const service = spawnService(
  { REDIS_URL: redis.url, TOKEN_KEYS: TOKEN_KEY, TRUST_PROXY: '127.0.0.1' },
  { withoutCoverage: true },
);
t.teardown(() => service.end());
const { url } = await service.ready();

async function memory(): Promise<number> {
  const status = await readFile(`/proc/${service.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024;
}

async function post(path: string, body: object) {
  const reply = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return (await reply.json()) as { access_token: string };
}

const credentials = { username: 'ada', password: PASSWORD };
await post('/auth/register', credentials);

async function wave(logins: readonly Login[]) {
  // Each wave needs a new session, because the sessions of the previous one may have displaced it.
  const { access_token: access } = await post('/auth/login', { ...credentials, transport: 'bearer' });
  return flood({ url }, { logins, access });
}

/** Sends several waves. Asserts the medians of the p99 of a check (ms) and of the growth of memory (MiB). */
async function assertWithstands(t: Test, logins: () => readonly Login[], statuses: readonly string[]): Promise<void> {
  // Warm up: connections, compiled code and the first hashes take memory too.
  for (let i = 0; i < 3; i++) await wave(logins());
  const results = [];
  for (let round = 0; round < ROUNDS; round++) {
    await sleep(1_000);
    const before = await memory();
    let peak = before;
    let sampling = true;
    const sampled = (async () => {
      while (sampling) {
        peak = Math.max(peak, await memory());
        await sleep(5);
      }
    })();
    const result = await wave(logins());
    sampling = false;
    await sampled;
    const growth = Math.round(((peak - before) / MIB) * 10) / 10;
    results.push({ p99: result.checks.p99, growth });
    t.comment(JSON.stringify({ ...result, growthMiB: growth }));
    t.same(
      Object.keys(result.statuses).filter((status) => !statuses.includes(status)),
      [],
    );
    t.equal(result.checks.failed, 0);
  }
  const p99 = median(results.map((result) => result.p99));
  const growth = median(results.map((result) => result.growth));
  t.ok(p99 < 50, `p99 of a check ${p99} ms`);
  t.ok(growth <= SLOTS * 19, `memory grew by ${growth} MiB with ${SLOTS} slots`);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

t.test(
  '500 simultaneous logins to one account: checks take 50 ms (p99), hashes 19 MiB each, excess logins are 429 or 503',
  { timeout: 600_000 },
  async (t) => {
    const login = { ...credentials, address: '192.0.2.1' };
    await assertWithstands(t, () => Array<Login>(500).fill(login), ['200', '429', '503']);
  },
);

t.test(
  '500 simultaneous logins to 500 names from 500 networks: checks take 50 ms (p99), hashes 19 MiB each',
  { timeout: 600_000 },
  async (t) => {
    let wave = 0;
    const logins = () => {
      wave++;
      return Array.from({ length: 500 }, (_, i) => ({
        username: `user-${wave}-${i}`,
        password: PASSWORD,
        address: `10.${wave}.${i >> 8}.${i & 255}`,
      }));
    };
    await assertWithstands(t, logins, ['401', '503']);
  },
);
