import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Cluster, Redis } from 'ioredis';
import { callRedis } from './faults.js';

export type RedisClient = Redis | Cluster;

/** Not `instanceof`, which fails if the host application has its own copy of ioredis. */
export function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}

/** The reply of a script: `outcome` says what happened; the other fields depend on the script. */
export type ScriptReply<Outcome extends string> = { outcome: Outcome } & { [detail: string]: string };

type Value = string | number;

/**
 * Binds a Lua file to the names of its keys and arguments, in the order of the script's header.
 *
 * A script returns a flat list of names and values that begins with `outcome`; values arrive as strings.
 * It is run with EVALSHA, or with EVAL if the server does not have it (after a restart or SCRIPT FLUSH).
 * No custom command is defined on the client, which may belong to a host application.
 *
 * @returns A function that runs the script.
 * @throws {UnavailableError} from the returned function, if Redis is unavailable.
 */
export function defineScript<const Key extends string, const Argument extends string, const Outcome extends string>({
  file,
  prelude,
  keys,
  args,
  outcomes,
}: {
  file: URL;
  /** A Lua file that is put before this one. */
  prelude?: URL;
  keys: readonly Key[];
  args: readonly Argument[];
  /** Every value that `outcome` can have; any other is an error. */
  outcomes: readonly Outcome[];
}) {
  const source = (prelude ? readFileSync(prelude, 'utf8') : '') + readFileSync(file, 'utf8');
  const sha = createHash('sha1').update(source).digest('hex');

  return async function run(
    client: RedisClient,
    input: { keys: Record<Key, string>; args: Record<Argument, Value> },
  ): Promise<ScriptReply<Outcome>> {
    const values: Value[] = [...keys.map((name) => input.keys[name]), ...args.map((name) => input.args[name])];
    const flat = await callRedis(async () => {
      try {
        return await client.evalsha(sha, keys.length, ...values);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
        return await client.eval(source, keys.length, ...values);
      }
    });
    const reply = parseReply(flat as Value[]) as ScriptReply<Outcome>;
    if (!outcomes.includes(reply.outcome))
      throw new Error(`${basename(file.pathname)} returned the undeclared outcome ${reply.outcome}`);
    return reply;
  };
}

function parseReply(flat: readonly Value[]): Record<string, string> {
  const reply: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) reply[String(flat[i])] = String(flat[i + 1]);
  return reply;
}
