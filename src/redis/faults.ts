import { LatchkeyError, UnavailableError } from '../errors.js';

/** A reply with one of these prefixes is a mistake in our own command; every other error is Redis being unable, for now. */
const OUR_MISTAKE = /^(ERR|WRONGTYPE|EXECABORT|CROSSSLOT)\b/;

/** What a script is told in a Cluster that lacks a node, or whose slot is being moved. */
const CLUSTER_UNABLE =
  /^ERR Script attempted to (access a non local key|execute a (write )?command while the cluster is down)/;

/**
 * Runs one exchange with Redis and turns its faults (no connection, no answer in time, out of memory,
 * loading, read-only after a failover …) into {@link UnavailableError}, so that none is taken for an answer.
 */
export async function callRedis<T>(exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange();
  } catch (error) {
    throw translateRedisError(error);
  }
}

export function translateRedisError(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error;
  // ioredis keeps the command there with all its arguments, and an error may end up in a log.
  if (error instanceof Error) Reflect.deleteProperty(error, 'command');
  if (
    error instanceof Error &&
    error.name === 'ReplyError' &&
    OUR_MISTAKE.test(error.message) &&
    !CLUSTER_UNABLE.test(error.message)
  )
    return error;
  return new UnavailableError('Redis did not answer', { cause: error });
}
