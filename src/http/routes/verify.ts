import type { App } from '../route.js';

/** Forward authentication for reverse proxies. It never rotates. */
export function verify(app: App): void {
  app.get('/verify', { config: { needs: 'session' } }, (request, reply) => {
    const { subject, sessionId } = request.principal!;
    reply.header('x-latchkey-subject', encodeURIComponent(subject)).header('x-latchkey-session', sessionId).send();
  });
}
