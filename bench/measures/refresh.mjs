import { contenders, probe } from '../contenders/index.mjs';
import { inParallel, keys, openStore, seed } from '../lib/latchkey.mjs';
import { CONNECTIONS, load } from '../lib/load.mjs';
import { accounted, startRedis, startService } from '../lib/processes.mjs';
import { interleaved } from '../lib/rounds.mjs';

const CHAINS = 200;
const LOGOUTS = 3000;
const USERS = 16;
const LOGINS_AT_ONCE = 16;
/** One hash is made at a time and takes tens of milliseconds. */
const LOGIN_SECONDS = 3;

/** Closes every pair at once, so that each refresh is a rotation. */
export const EVERY_REFRESH_ROTATES = { REFRESH_GRACE: '0s', REFRESH_RETRY_WINDOW: '0s' };

/** Refresh, login and logout over HTTP, compared with bare Fastify in the same rounds. */
export async function refresh({ rounds, seconds, log }) {
  const durable = await open('shipped');
  const volatile = await open('none');
  const bare = await contenders.bare.start(durable.redis);
  const bodies = await register(durable.service);

  const results = await interleaved(
    {
      bare: async () => {
        await probe(bare);
        const { path, headers } = bare.request;
        return figures(
          await accounted({ server: bare, redis: durable.redis }, () => load(bare.origin + path, { headers, seconds })),
        );
      },
      refresh: () => rotations(durable, seconds),
      'refresh-volatile': () => rotations(volatile, seconds),
      logout: () => logouts(durable),
      login: async () => {
        const options = {
          script: 'login',
          lines: bodies,
          connections: LOGINS_AT_ONCE,
          seconds: Math.max(seconds, LOGIN_SECONDS),
        };
        return figures(await at(durable, '/auth/login', options));
      },
    },
    { rounds, log },
  );
  await bare.stop();
  await Promise.all([durable, volatile].map(({ close }) => close()));
  return { rounds: results };
}

async function open(durability) {
  const redis = await startRedis(durability);
  const service = await startService(redis, { env: EVERY_REFRESH_ROTATES });
  const store = await openStore(redis.url);
  const close = async () => {
    await store.end();
    await service.stop();
    await redis.stop();
  };
  return { redis, service, store, close };
}

function at({ service, redis }, path, options) {
  return accounted({ server: service, redis }, () => load(service.origin + path, options));
}

async function rotations(deployment, seconds) {
  const issued = await seed(deployment.store, CHAINS);
  const lines = issued.map(({ pair }) => pair.refresh.token);
  const result = await at(deployment, '/auth/refresh', { script: 'refresh', lines, seconds });
  await requireRotations(deployment.redis, issued, result.requests);
  return figures(result);
}

/** Asserts that every answer was a rotation: the generations grew by as many, except for answers in flight when wrk stopped. */
export async function requireRotations({ client }, issued, answers) {
  const generations = await Promise.all(
    issued.map(({ pair: { refresh } }) =>
      client.hget(keys.session(refresh.partition, refresh.sessionId), 'generation'),
    ),
  );
  const rotated = generations.reduce(
    (sum, generation, i) => sum + Number(generation) - issued[i].pair.refresh.generation,
    0,
  );
  if (rotated < answers || rotated > answers + CONNECTIONS)
    throw new Error(`${answers} refreshes were ${rotated} rotations`);
}

async function logouts(deployment) {
  const issued = await seed(deployment.store, LOGOUTS);
  const lines = issued.map(({ pair }) => pair.access.token);
  return figures(await at(deployment, '/auth/logout', { script: 'logout', lines }));
}

/** Registers users; returns the bodies of their logins. */
export async function register({ origin }) {
  const bodies = Array.from({ length: USERS }, (_, i) =>
    JSON.stringify({ username: `bench-user-${i}`, password: 'pelican umbrella staircase', transport: 'bearer' }),
  );
  await inParallel(USERS, 2, async (i) => {
    const { username, password } = JSON.parse(bodies[i]);
    const response = await fetch(`${origin}/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password }),
    });
    if (response.status !== 201) throw new Error(`Registration answered ${response.status}: ${await response.text()}`);
  });
  return bodies;
}

function figures({ rate, p50, p99, serverCpu, redisCpu, generatorCpu, durationUs, requests, commands }) {
  const { evalsha = 0, eval: whole = 0, ...others } = commands;
  return {
    rate,
    p50,
    p99,
    cpu: serverCpu / requests,
    redisCpu: redisCpu / requests,
    scripts: (evalsha + whole) / requests,
    otherCommands: Object.values(others).reduce((sum, calls) => sum + calls, 0) / requests,
    generator: generatorCpu / durationUs,
    redis: redisCpu / durationUs,
  };
}
