import Fastify from 'fastify';
import latchkey from 'latchkey';

const RECENT_MS = 5 * 60_000;

/** An app with notes for each user. `options` are those of the plugin. */
export async function buildApp(options) {
  const app = Fastify({ logger: { level: 'warn' } });
  await app.register(latchkey, { pages: { name: 'Notes' }, ...options });

  const notes = new Map();
  const notesOf = (subject) => notes.get(subject) ?? [];

  app.get('/', (_request, reply) => reply.redirect('/account'));

  await app.register(
    async (api) => {
      // Every route in here needs a session. Without one the response is a 401, and the handler does not run.
      api.addHook('onRequest', app.latchkey.requireSession());

      api.get('/notes', ({ principal }) => ({ notes: notesOf(principal.subject) }));

      const body = { type: 'object', required: ['text'], properties: { text: { type: 'string', maxLength: 1000 } } };
      api.post('/notes', { schema: { body } }, async ({ principal, body: { text } }, reply) => {
        notes.set(principal.subject, [...notesOf(principal.subject), text]);
        return reply.code(201).send({ text });
      });

      // Deleting cannot be undone, so it needs a login of the last five minutes.
      api.delete(
        '/notes',
        { onRequest: app.latchkey.requireSession({ recentMs: RECENT_MS }) },
        async ({ principal }, reply) => {
          notes.delete(principal.subject);
          return reply.code(204).send();
        },
      );
    },
    { prefix: '/api' },
  );

  return app;
}
