import { issueTo, newSubject, openStore } from '../lib/latchkey.mjs';
import { load } from '../lib/load.mjs';
import { startRedis, startService } from '../lib/processes.mjs';
import { interleaved } from '../lib/rounds.mjs';
import { setTimeout as sleep } from 'node:timers/promises';
import { register } from './refresh.mjs';

const LOGINS_AT_ONCE = 16;
const LEAD_SECONDS = 0.3;
const PAUSE_MS = 20;

/** Validation with and without 16 concurrent logins; the service may use every core. */
export async function logins({ rounds, seconds, log }) {
  const redis = await startRedis('none');
  const service = await startService(redis, { where: undefined });
  const store = await openStore(redis.url);
  const { pair } = await issueTo(store, newSubject());
  await store.end();
  const bodies = await register(service);
  const headers = { authorization: `Bearer ${pair.access.token}` };

  const loads = {
    saturated: () => load(`${service.origin}/auth/session`, { headers, seconds }),
    paced: () =>
      load(`${service.origin}/auth/session`, { script: 'paced', args: [String(PAUSE_MS)], headers, seconds }),
  };
  const besideLogins = async (validation) => {
    const options = {
      script: 'login',
      lines: bodies,
      connections: LOGINS_AT_ONCE,
      seconds: seconds + 2 * LEAD_SECONDS,
    };
    const loggingIn = load(`${service.origin}/auth/login`, options);
    await sleep(LEAD_SECONDS * 1000);
    const { rate, p50, p99 } = await validation();
    return { rate, p50, p99, logins: (await loggingIn).rate };
  };
  const turns = {};
  for (const [name, validation] of Object.entries(loads)) {
    turns[name] = validation;
    turns[`${name}, 16 logins`] = () => besideLogins(validation);
  }
  const results = await interleaved(turns, { rounds, log });
  await service.stop();
  await redis.stop();
  return { rounds: results };
}
