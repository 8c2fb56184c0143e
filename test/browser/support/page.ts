import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { FastifyInstance } from 'fastify';

const CLIENT = fileURLToPath(new URL('../../../src/client/index.ts', import.meta.url));
const CSP = "default-src 'none'; script-src 'self'; connect-src 'self'";

/** Serves a page at `/` that loads the client as a module and sets `window.createClient`. */
export async function servingClient(): Promise<(app: FastifyInstance) => void> {
  const { outputFiles } = await build({
    stdin: { contents: `export * from ${JSON.stringify(CLIENT)}`, resolveDir: '/' },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  const script = outputFiles[0]!.text;
  return (app) => {
    app.get('/', (_request, reply) =>
      reply
        .header('content-security-policy', CSP)
        .type('text/html')
        .send('<!doctype html><html lang="en"><title>A page</title><script type="module" src="/page.js"></script>'),
    );
    app.get('/latchkey-client.js', (_request, reply) => reply.type('text/javascript').send(script));
    app.get('/page.js', (_request, reply) =>
      reply
        .type('text/javascript')
        .send("import { createClient } from '/latchkey-client.js';\nwindow.createClient = createClient;"),
    );
  };
}
