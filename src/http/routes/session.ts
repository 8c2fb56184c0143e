import type { App } from '../route.js';
import { SessionBody, sessionBody } from '../tokens.js';

export function session(app: App): void {
  app.get('/session', { config: { needs: 'session' }, schema: { summary: 'Who this is', response: { 200: SessionBody } } }, (request, reply) => {
    reply.send(sessionBody(request.principal!));
  });
}
