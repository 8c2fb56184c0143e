import type { FastifyReply, FastifyRequest } from 'fastify';

const BATCH_SIZE = 4;

/**
 * Makes an `onRequest` hook that lets requests begin a few at a time, in order, with the event loop's other work between:
 * what is flooded does not hold up what is not.
 */
export function admitInBatches(): (request: FastifyRequest, reply: FastifyReply, done: () => void) => void {
  const waiting: (() => void)[] = [];

  function admit() {
    for (const begin of waiting.splice(0, BATCH_SIZE)) begin();
    if (waiting.length > 0) setImmediate(admit);
  }

  return (_request, _reply, done) => {
    if (waiting.push(done) === 1) setImmediate(admit);
  };
}
