import type { FastifyReply, FastifyRequest } from 'fastify';

const BATCH_SIZE = 4;

/**
 * Creates an `onRequest` hook that admits requests in order, a small batch per turn of the event loop, so that a burst
 * of requests to one route does not delay the others.
 */
export function admitInBatches(): (request: FastifyRequest, reply: FastifyReply, done: () => void) => void {
  const waiting: (() => void)[] = [];

  function admit() {
    for (const proceed of waiting.splice(0, BATCH_SIZE)) proceed();
    if (waiting.length > 0) setImmediate(admit);
  }

  return (_request, _reply, done) => {
    if (waiting.push(done) === 1) setImmediate(admit);
  };
}
