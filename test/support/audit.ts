import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';

type Client = Redis | Cluster;

/** Every key that begins with `prefix`, on every master, sorted. */
export async function keysUnder(client: Client, prefix: string): Promise<string[]> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client];
  const names = await Promise.all(nodes.map((node) => scanned(node, prefix)));
  return names.flat().sort();
}

/** The keys that would stay for ever although they are neither a user record nor a login name. */
export async function findKeysWithoutExpiry(client: Client, prefix: string): Promise<string[]> {
  const names = (await keysUnder(client, prefix)).filter(
    (key) => !/^({[0-9a-f]{4}}:user|login):/.test(key.slice(prefix.length)),
  );
  const ttls = await Promise.all(names.map((key) => client.pttl(key)));
  return names.filter((_, i) => ttls[i] === -1);
}

/**
 * Looks, again and again until it is stopped, for keys that would stay for ever.
 *
 * @returns stops it, and gives each such key that was seen.
 */
export function watchExpiries(client: Client, prefix: string, { everyMs = 100 } = {}): () => Promise<string[]> {
  const seen = new Set<string>();
  let stopped = false;
  const looking = (async () => {
    do {
      for (const key of await findKeysWithoutExpiry(client, prefix)) seen.add(key);
      await sleep(stopped ? 0 : everyMs);
    } while (!stopped);
  })();
  return async () => {
    stopped = true;
    await looking;
    for (const key of await findKeysWithoutExpiry(client, prefix)) seen.add(key);
    return [...seen];
  };
}

async function scanned(node: Redis, prefix: string): Promise<string[]> {
  const found = new Set<string>();
  const pattern = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`;
  let cursor = '0';
  do {
    const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', 1000);
    for (const key of keys) found.add(key);
    cursor = next;
  } while (cursor !== '0');
  return [...found];
}
