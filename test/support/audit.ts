import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';

type Client = Redis | Cluster;

/** Lists the keys that begin with `prefix`, on every master, sorted. */
export async function keysUnder(client: Client, prefix: string): Promise<string[]> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client];
  const names = await Promise.all(nodes.map((node) => scanKeys(node, prefix)));
  return names.flat().sort();
}

/** Finds keys that never expire, apart from user records and login names. */
export async function findKeysWithoutExpiry(client: Client, prefix: string): Promise<string[]> {
  const names = (await keysUnder(client, prefix)).filter(
    (key) => !/^({[0-9a-f]{4}}:user|login):/.test(key.slice(prefix.length)),
  );
  const ttls = await Promise.all(names.map((key) => client.pttl(key)));
  return names.filter((_, i) => ttls[i] === -1);
}

/**
 * Repeats {@link findKeysWithoutExpiry} until it is stopped.
 *
 * @returns A function that stops the search and returns every key that was found.
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

async function scanKeys(node: Redis, prefix: string): Promise<string[]> {
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
