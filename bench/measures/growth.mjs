import { setTimeout as sleep } from 'node:timers/promises';
import { inParallel, issueTo, newSubject, openStore, ORIGIN } from '../lib/latchkey.mjs';
import { load } from '../lib/load.mjs';
import { accounted, startRedis, startService } from '../lib/processes.mjs';
import { interleaved } from '../lib/rounds.mjs';
import { EVERY_REFRESH_ROTATES, requireRotations } from './refresh.mjs';

const SAMPLE = 20_000;
const HOUR_MS = 3_600_000;

/**
 * The same work with more and more live sessions, one per user, each request with another token; and the memory of a
 * session after a rotation.
 */
export async function growth({ rounds, seconds, levels, graceMs, log }) {
  const deployments = {};
  // Largest level first: on the smaller ones every session is still in its grace period when memory is measured.
  for (const live of [...levels].sort((a, b) => b - a))
    deployments[live] = await populate(live, { rounds, graceMs, log });
  await sleep(graceMs);
  for (const live of levels) await weighAfterGrace(deployments[live]);

  const turns = {};
  for (const live of levels) {
    const { service, redis, access, refresh } = deployments[live];
    const counted = async (work) => {
      const { rate, p99, serverCpu, requests } = await accounted({ server: service, redis }, work);
      return { rate, p99, cpu: serverCpu / requests, requests };
    };
    turns[`validate ${live}`] = () =>
      counted(() => load(`${service.origin}/auth/session`, { script: 'tokens', lines: access, seconds }));
    turns[`refresh ${live}`] = async () => {
      const issued = refresh.pop();
      const lines = issued.map(({ pair }) => pair.refresh.token);
      const result = await counted(() => load(`${service.origin}/auth/refresh`, { script: 'refresh', lines, seconds }));
      await requireRotations(redis, issued, result.requests);
      return result;
    };
  }
  const results = await interleaved(turns, { rounds, log });

  const memory = Object.fromEntries(levels.map((live) => [live, deployments[live].memory]));
  for (const { service, redis } of Object.values(deployments)) {
    await service.stop();
    await redis.stop();
  }
  return { rounds: results, levels, memory };
}

/** Issues sessions by the real scripts, rotates each once, and measures their memory within the grace period, if all still are, and after it. */
async function populate(live, { rounds, graceMs, log }) {
  const redis = await startRedis('none');
  const store = await openStore(redis.url, { lifetimes: { accessLifetimeMs: HOUR_MS, refreshGraceMs: graceMs } });
  const empty = await usedMemory(redis);
  const started = Date.now();
  const every = Math.max(1, Math.floor(live / SAMPLE));
  const access = [];
  const kept = [];
  await inParallel(live, 256, async (i) => {
    const { pair } = await issueTo(store, newSubject(), `user-${String(i).padStart(8, '0')}`);
    const rotation = await store.rotate(pair.refresh, ORIGIN);
    if (rotation.outcome !== 'rotated') throw new Error(`The first refresh was ${rotation.outcome}`);
    if (i % every !== 0) return;
    if (access.length * 2 <= kept.length) access.push(rotation.pair.access.token);
    else kept.push({ pair: rotation.pair });
  });
  const tookMs = Date.now() - started;
  const within = tookMs < graceMs ? await usedMemory(redis) : undefined;
  log(`  ${live.toLocaleString('en')} sessions issued and rotated in ${(tookMs / 1000).toFixed(1)} s`);

  await store.end();

  const service = await startService(redis, { env: { ...EVERY_REFRESH_ROTATES, ACCESS_TOKEN_LIFETIME: '1h' } });
  const share = Math.floor(kept.length / (rounds + 1));
  const refresh = Array.from({ length: rounds + 1 }, (_, i) => kept.slice(i * share, (i + 1) * share));
  const perSession = (bytes) => Math.round((bytes - empty) / live);
  const memory = within === undefined ? {} : { within: perSession(within) };
  return { redis, service, access, refresh, live, perSession, memory };
}

async function weighAfterGrace({ redis, live, perSession, memory }) {
  memory.keys = (await dropExpired(redis)) / live;
  memory.after = perSession(await usedMemory(redis));
}

async function usedMemory({ client }) {
  return Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))[1]);
}

/** Makes Redis visit every key, so that it deletes the expired ones: the access keys that the rotations replaced. */
async function dropExpired({ client }) {
  let cursor = '0';
  do {
    [cursor] = await client.scan(cursor, 'COUNT', '10000', 'TYPE', 'stream');
  } while (cursor !== '0');
  return client.dbsize();
}
