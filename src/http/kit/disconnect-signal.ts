import type { FastifyReply } from 'fastify';

/** Creates a signal that aborts if the client disconnects before it has received the whole response. */
export function disconnectSignal({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
