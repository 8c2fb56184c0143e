import { inParallel, issueTo, keys, newSubject, openStore, ORIGIN } from '../lib/latchkey.mjs';
import { startRedis, startService } from '../lib/processes.mjs';
import { median } from '../lib/statistics.mjs';
import { usecOf } from './script.mjs';

const LOGGED_ABOVE_US = 50;

/** Logging out of many sessions at once: how long it takes, and how long Redis is blocked by its longest script. */
export async function logout({ rounds, sizes, log }) {
  const redis = await startRedis('shipped');
  const service = await startService(redis, { env: { SESSIONS_PER_USER: '10000' } });
  // Evicting sessions over the limit is not measured here.
  const store = await openStore(redis.url, { sessionsPerUser: 1e9 });
  await redis.client.config('SET', 'slowlog-log-slower-than', LOGGED_ABOVE_US, 'slowlog-max-len', 10_000);

  const results = {};
  for (const size of sizes) {
    const runs = [];
    for (let round = 0; round < rounds; round++) runs.push(await one({ redis, service, store }, size));
    results[size] = Object.fromEntries(
      Object.keys(runs[0]).map((figure) => [figure, median(runs.map((run) => run[figure]))]),
    );
    results[size].worst = Math.max(...runs.map(({ blockedMs }) => blockedMs));
    log(`  ${size} sessions`);
  }
  await store.end();
  await service.stop();
  await redis.stop();
  return { sizes: results };
}

async function one({ redis, service, store }, size) {
  const { client } = redis;
  const subject = newSubject();
  const tokens = [];
  await inParallel(size, 64, async () => {
    const { pair } = await issueTo(store, subject);
    tokens.push((await store.rotate(pair.refresh, ORIGIN)).pair.access.token);
  });
  await client.call('SLOWLOG', 'RESET');
  const before = await usecOf(redis, 'evalsha');
  const started = performance.now();
  const response = await fetch(`${service.origin}/auth/logout`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens[0]}` },
  });
  const tookMs = performance.now() - started;
  if (response.status !== 204) throw new Error(`Logout answered ${response.status}`);
  const after = await usecOf(redis, 'evalsha');
  const slow = (await client.call('SLOWLOG', 'GET', '10000'))
    .filter(([, , , [command]]) => /^eval/i.test(command))
    .map(([, , usec]) => usec);

  const alive = await inParallelAnswers(tokens, async (token) => (await store.authenticate(token)) !== undefined);
  if (alive > 0 || (await client.exists(keys.sessions(subject))) !== 0)
    throw new Error(`${alive} of ${size} sessions survived their logout`);

  const calls = after.calls - before.calls;
  const mean = (after.usec - before.usec) / calls;
  return { tookMs, scripts: calls, blockedMs: Math.max(mean, ...slow) / 1000 };
}

async function inParallelAnswers(values, ask) {
  let yes = 0;
  await inParallel(values.length, 128, async (i) => (yes += (await ask(values[i])) ? 1 : 0));
  return yes;
}
