import type { App } from '../kit/route.js';
import { SessionBody, toSessionBody } from '../kit/token-response.js';

export function currentSessionRoute(app: App): void {
  app.get(
    '/session',
    { config: { needs: 'session' }, schema: { summary: 'Who this is', response: { 200: SessionBody } } },
    (request, reply) => {
      reply.send(toSessionBody(request.principal!));
    },
  );
}
