import { LatchkeyError, UnavailableError } from '../errors.js';

/** Replies with these prefixes mean a bug in our own command; any other error means that Redis is unavailable. */
const BUG = /^(ERR|WRONGTYPE|EXECABORT|CROSSSLOT)\b/;

/** ERR replies that are not bugs: the Cluster lacks a node, or the slot is being moved. */
const CLUSTER_UNAVAILABLE =
  /^ERR Script attempted to (access a non local key|execute a (write )?command while the cluster is down)/;

/**
 * Runs a Redis command and translates its errors with {@link translateRedisError}.
 *
 * @throws {UnavailableError} if Redis is unreachable, slow, out of memory, loading, read-only after a failover, etc.
 */
export async function callRedis<T>(command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (error) {
    throw translateRedisError(error);
  }
}

/** Returns an UnavailableError for every error that is neither a LatchkeyError nor the reply to a wrong command. */
export function translateRedisError(error: unknown): unknown {
  if (error instanceof LatchkeyError) return error;
  // ioredis attaches the command with all its arguments, and an error may be logged.
  if (error instanceof Error) Reflect.deleteProperty(error, 'command');
  if (
    error instanceof Error &&
    error.name === 'ReplyError' &&
    BUG.test(error.message) &&
    !CLUSTER_UNAVAILABLE.test(error.message)
  )
    return error;
  return new UnavailableError('Redis is unavailable', { cause: error });
}
