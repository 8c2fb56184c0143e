import type { App } from '../kit/route.js';
import { SessionBody, sessionBody } from '../kit/token-response.js';

export function session(app: App): void {
  app.get(
    '/session',
    { config: { needs: 'session' }, schema: { summary: 'Who this is', response: { 200: SessionBody } } },
    (request, reply) => {
      reply.send(sessionBody(request.principal!));
    },
  );
}
