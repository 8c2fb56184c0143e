import { LatchkeyError, UnavailableError } from '../errors.js';

/** Replies with these prefixes mean a defect in our own command; any other error means that Redis cannot serve now. */
const DEFECT = /^(ERR|WRONGTYPE|EXECABORT|CROSSSLOT)\b/;

/** ERR replies that are no defect: the Cluster lacks a node, or the slot is being moved. */
const CLUSTER_UNAVAILABLE =
  /^ERR Script attempted to (access a non local key|execute a (write )?command while the cluster is down)/;

/**
 * Runs one exchange with Redis, with its errors translated by {@link translateRedisError}.
 *
 * @throws {UnavailableError} when Redis is unreachable, slow, out of memory, loading, read-only after a failover …
 */
export async function callRedis<T>(exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange();
  } catch (error) {
    throw translateRedisError(error);
  }
}

/** Returns an UnavailableError for every error that is neither one of ours nor a defect in a command. */
export function translateRedisError(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error;
  // ioredis attaches the command with all its arguments, and an error may be logged.
  if (error instanceof Error) Reflect.deleteProperty(error, 'command');
  if (
    error instanceof Error &&
    error.name === 'ReplyError' &&
    DEFECT.test(error.message) &&
    !CLUSTER_UNAVAILABLE.test(error.message)
  )
    return error;
  return new UnavailableError('Redis did not answer', { cause: error });
}
