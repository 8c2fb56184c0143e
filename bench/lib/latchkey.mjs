import { randomBytes } from 'node:crypto';
import { DEFAULT_LIFETIMES, DEFAULTS } from '../../dist/options.js';
import { connect, waitUntilReady } from '../../dist/redis/connect.js';
import { RedisKeys } from '../../dist/redis/keys.js';
import { SessionStore } from '../../dist/sessions/store.js';
import { TokenKeys } from '../../dist/sessions/token.js';

export const TOKEN_KEY = 'a token key of the benchmark and nothing else';
export const ORIGIN = { device: 'Firefox 140 · Linux', address: '203.0.113.7' };
export const keys = new RedisKeys(DEFAULTS.redisPrefix);

/** One connection for lookups and one for scripts, as the service has them. */
export async function openClients(url) {
  const { hostname, port } = new URL(url);
  const location = { kind: 'standalone', host: hostname, port: Number(port), db: 0, tls: false };
  const clientNamed = async (name) => {
    const client = connect(location, { timeoutMs: 60_000, name, onError: console.error });
    await waitUntilReady(client, 5_000);
    return client;
  };
  return { lookups: await clientNamed('bench-lookups'), scripts: await clientNamed('bench-scripts') };
}

/** The real store, for seeding and for what is measured without HTTP. */
export async function openStore(url, { lifetimes = {}, sessionsPerUser = DEFAULTS.sessionsPerUser } = {}) {
  const clients = await openClients(url);
  const store = new SessionStore(clients, {
    keys,
    tokenKeys: new TokenKeys([TOKEN_KEY]),
    lifetimes: { ...DEFAULT_LIFETIMES, ...lifetimes },
    sessionsPerUser,
    onBackgroundFault: console.error,
  });
  return Object.assign(store, {
    clients,
    async end() {
      await store.close();
      Object.values(clients).forEach((client) => client.disconnect());
    },
  });
}

/** As a registration makes it: 128 random bits in base64url. */
export const newSubject = () => randomBytes(16).toString('base64url');

export function issueTo(store, subject, username = 'ada.lovelace') {
  return store.issue({ identity: { subject, username, methods: ['pwd'] }, origin: ORIGIN });
}

/** Runs `work` for 0 … count − 1, so many at a time. */
export async function inParallel(count, atOnce, work) {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}

/** Sessions of as many users, by the real script. */
export async function seed(store, count) {
  const issued = new Array(count);
  await inParallel(count, 256, async (i) => (issued[i] = await issueTo(store, newSubject())));
  return issued;
}
