import { Type } from '@sinclair/typebox';
import type { App } from '../route.js';

const Reply = Type.Unsafe<undefined>({
  type: 'null',
  headers: {
    'x-latchkey-subject': { type: 'string', description: 'Whose session it is, percent-encoded' },
    'x-latchkey-session': { type: 'string', description: 'Its id' },
  },
});

/** Forward authentication for reverse proxies. It never rotates. */
export function verify(app: App): void {
  app.get(
    '/verify',
    { config: { needs: 'session' }, schema: { summary: 'Forward authentication', response: { 200: Reply } } },
    (request, reply) => {
      const { subject, sessionId } = request.principal!;
      reply.header('x-latchkey-subject', encodeURIComponent(subject)).header('x-latchkey-session', sessionId).send();
    },
  );
}
