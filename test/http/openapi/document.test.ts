import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Fastify from 'fastify';
import t from 'tap';
import { oauthErrors } from '../../../src/http/kit/oauth-error.js';
import { problems } from '../../../src/http/kit/problem.js';
import { publicDocumentation } from '../../../src/http/openapi/descriptions.js';
import { registerOpenApi } from '../../../src/http/openapi/document.js';
import { startAdmin } from '../admin/support.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const REDOCLY = join(ROOT, 'node_modules/.bin/redocly');

interface Operation {
  operationId: string;
  summary?: string;
  tags: string[];
  requestBody?: { required: boolean };
  responses: Record<
    string,
    {
      content?: Record<
        string,
        { schema: { allOf?: { properties?: { code?: { enum: string[] }; error?: { enum: string[] } } }[] } }
      >;
    }
  >;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
}

t.test('the OpenAPI documents of both listeners', async (t) => {
  const service = await startAdmin();
  t.teardown(service.close);

  t.test('Redocly finds both documents valid and has no warnings', async (t) => {
    const directory = t.testdir();
    for (const [name, app] of [
      ['public', service.app],
      ['internal', service.internal],
    ] as const) {
      const reply = await app.inject('/openapi.json');
      t.equal(reply.statusCode, 200);
      t.match(reply.headers, { 'content-type': /^application\/json/, 'cache-control': 'no-store' });
      t.match(reply.json().openapi, /^3\.1\./);
      await writeFile(join(directory, `${name}.json`), reply.body);
    }
    const files = ['public', 'internal'].map((name) => join(directory, `${name}.json`));
    const env = { ...process.env, NODE_OPTIONS: '', REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
    const { stderr } = await run(REDOCLY, ['lint', ...files], { cwd: ROOT, env });
    t.match(stderr, /Your API descriptions are valid/);
    t.notMatch(stderr, /You have \d+ warning/);
  });

  t.test('every operation has a summary, one tag and a unique id', async (t) => {
    const names: string[] = [];
    for (const app of [service.app, service.internal]) {
      const before = names.length;
      const { paths } = (await app.inject('/openapi.json')).json<Document>();
      for (const [path, operations] of Object.entries(paths)) {
        for (const [method, { operationId, summary, tags }] of Object.entries(operations)) {
          t.ok(summary, `${method} ${path}`);
          t.equal(tags.length, 1);
          names.push(operationId);
        }
      }
      const own = names.slice(before);
      t.equal(new Set(own).size, own.length, 'no id occurs twice in a document');
    }
    t.ok(
      names.includes('postAuthLogin') &&
        names.includes('postOauthToken') &&
        names.includes('getLivez') &&
        names.includes('postAdminSessions'),
      names.join(),
    );
  });

  t.test('the documented errors of a route follow from what it needs', async (t) => {
    const { paths } = (await service.get('/openapi.json')).json<Document>();
    const codes = (path: string, method: string) =>
      Object.values(paths[path]![method]!.responses)
        .flatMap(({ content = {} }) => Object.values(content))
        .flatMap(({ schema: { allOf = [] } }) => allOf)
        .flatMap(({ properties: { code, error } = {} }) => (code ?? error)?.enum ?? []);
    t.ok(
      ['authentication_required', 'invalid_token', 'unavailable'].every((code) =>
        codes('/auth/session', 'get').includes(code),
      ),
    );
    t.notOk(codes('/auth/session', 'get').includes('cross_site_request'));
    t.ok(codes('/auth/password', 'post').includes('insufficient_user_authentication'));
    t.ok(codes('/auth/sessions/{id}', 'delete').includes('not_found'));
    t.equal(paths['/auth/refresh']!.post!.requestBody!.required, false);
    t.equal(paths['/auth/login']!.post!.requestBody!.required, true);
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { tags }] of Object.entries(operations)) {
        const known = Object.keys(tags[0] === 'oauth' ? oauthErrors : problems);
        const documented = codes(path, method);
        t.ok(documented.length > 0, `${method} ${path} documents its errors`);
        t.strictSame(
          documented.filter((code) => !known.includes(code)),
          [],
          `${method} ${path} documents known errors only`,
        );
      }
    }
  });

  t.test('/docs shows the document, with scripts of its own origin only', async (t) => {
    const page = await service.get('/docs');
    t.equal(page.statusCode, 200);
    t.match(page.headers['content-security-policy'], /^default-src 'none'; script-src 'self';/);
    t.match(page.headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
    t.notMatch(page.body, /<script(?![^>]* src="\/docs\/)|<style|\son\w+=|https?:/);
    const sources = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source!);
    t.ok(sources.length > 4);
    for (const source of sources) t.equal((await service.get(source)).statusCode, 200, source);
    t.match((await service.get('/docs/static/swagger-initializer.js')).body, '/openapi.json');
  });
});

t.test('routes without a schema, and hidden ones, are not documented', async (t) => {
  const app = Fastify();
  await registerOpenApi(app, publicDocumentation);
  app.get('/plain', () => 'plain');
  app.get('/hidden', { schema: { hide: true } }, () => 'hidden');
  app.get('/seen', { schema: { summary: 'Seen' } }, () => 'seen');
  t.same(Object.keys((await app.inject('/openapi.json')).json<Document>().paths), ['/openapi.json', '/seen']);
});
