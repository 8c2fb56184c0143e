import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';
import { callRedis } from './faults.js';

export type RedisClient = Redis | Cluster;

/** Told by its own word: a host application's ioredis may be another copy than ours. */
export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}

/** What a script answers: `outcome` is a word, the rest are its named details. */
export type ScriptReply<Outcome extends string> = { outcome: Outcome } & { [detail: string]: string };

type Value = string | number;

/**
 * Binds a Lua file to the names of its keys and arguments, in the order in which the script's header lists them.
 *
 * A script answers a flat list of names and values that begins with `outcome`; values arrive as strings.
 * It is run by its SHA-1 and sent whole when the server does not know it (after a restart or SCRIPT FLUSH),
 * without defining anything on the client, which may belong to a host application.
 *
 * @throws {UnavailableError} from the returned function, when Redis does not answer or refuses for now.
 */
export function defineScript<const Key extends string, const Argument extends string, const Outcome extends string>({
  file,
  prelude,
  keys,
  args,
  outcomes,
}: {
  file: URL;
  /** A file of Lua that is put before this one. */
  prelude?: URL;
  keys: readonly Key[];
  args: readonly Argument[];
  /** Every word that `outcome` can be; any other is a defect. */
  outcomes: readonly Outcome[];
}) {
  const source = (prelude ? readFileSync(prelude, 'utf8') : '') + readFileSync(file, 'utf8');
  const sha = createHash('sha1').update(source).digest('hex');

  return async function run(
    client: RedisClient,
    input: { keys: Record<Key, string>; args: Record<Argument, Value> },
  ): Promise<ScriptReply<Outcome>> {
    const words: Value[] = [...keys.map((name) => input.keys[name]), ...args.map((name) => input.args[name])];
    const reply = await callRedis(async () => {
      try {
        return await client.evalsha(sha, keys.length, ...words);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
        return await client.eval(source, keys.length, ...words);
      }
    });
    const answer = named(reply as Value[]) as ScriptReply<Outcome>;
    if (!outcomes.includes(answer.outcome))
      throw new Error(`A script answered ${answer.outcome}, which it does not declare`);
    return answer;
  };
}

function named(flat: readonly Value[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) result[String(flat[i])] = String(flat[i + 1]);
  return result;
}
