import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Type } from '@sinclair/typebox';
import Fastify from 'fastify';
import t from 'tap';
import { errorHandler, sendProblem } from '../../../src/http/kit/error-handler.js';
import { Problem } from '../../../src/http/kit/problem.js';
import { publicDocumentation } from '../../../src/http/openapi/descriptions.js';
import { registerOpenApi } from '../../../src/http/openapi/document.js';
import { checkResponses } from '../../support/conformance.js';

const run = promisify(execFile);
const STRAY = fileURLToPath(new URL('../../support/stray-app.ts', import.meta.url));

const Reply = Type.Unsafe<unknown>({
  type: 'object',
  properties: { id: { type: 'string' } },
  required: ['id'],
  additionalProperties: false,
});

t.test('an answer that does not conform to the OpenAPI document is detected', async (t) => {
  const violations: string[] = [];
  const app = Fastify({ frameworkErrors: (error, request, reply) => void errorHandler(error, request, reply) });
  checkResponses(app, (violation) => violations.push(violation));
  app
    .setErrorHandler(errorHandler)
    .setNotFoundHandler((_request, reply) => sendProblem(reply, new Problem('not_found')));
  await registerOpenApi(app, publicDocumentation);
  let answer: { status?: number; type?: string; body?: unknown; error?: Problem; location?: string } = {};
  const schema = {
    summary: 'A test',
    response: {
      200: Reply,
      204: Type.Null(),
      303: Type.Unsafe<unknown>({ type: 'null', headers: { location: { type: 'string' } } }),
    },
  };
  app.get('/things/:id', { config: { needs: 'session' }, schema }, async (_request, reply) => {
    if (answer.error) throw answer.error;
    const { status = 200, type = 'application/json; charset=utf-8', body, location } = answer;
    if (location !== undefined) reply.header('location', location);
    // Bypass the serializer of the schema, which would drop undocumented properties.
    return reply
      .code(status as 200)
      .type(type)
      .serializer((value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value)))
      .send(body);
  });
  app.get('/page', { schema: { hide: true } }, (_request, reply) => reply.code(418).send('a page'));

  const found = async (given: typeof answer, path = '/things/1', method: 'GET' | 'HEAD' = 'GET') => {
    answer = given;
    violations.length = 0;
    await app.inject({ method, url: path });
    return violations.join('; ');
  };

  t.equal(await found({ body: { id: '1' } }), '');
  t.equal(await found({ body: { id: '1' } }, '/things/1', 'HEAD'), '');
  t.equal(await found({ status: 204 }), '');
  t.equal(await found({ error: new Problem('invalid_token') }), '');
  t.equal(await found({ body: { id: 1 } }), 'GET /things/:id answered 200: body/id must be string');
  t.match(await found({ body: { id: '1', password: 'x' } }), 'must NOT have additional properties');
  t.match(await found({ body: {} }), "must have required property 'id'");
  t.match(await found({ body: Buffer.from('{}') }), 'the body is not text');
  t.match(await found({ status: 202, body: { id: '1' } }), 'the status is not documented');
  t.match(await found({ type: 'text/html', body: '<p>' }), 'the content type text/html is not documented');
  t.match(await found({ status: 303, body: { id: '1' }, location: '/' }), 'no body is documented');
  t.match(await found({ status: 303 }), 'the header location is missing');
  t.match(await found({ error: new Problem('reauthentication_required') }), 'the status is not documented');
  t.match(
    await found({ error: new Problem('insufficient_user_authentication') }),
    'body/code must be equal to one of the allowed values',
  );
  t.equal(await found({}, '/page'), '', 'a hidden route is not checked');
  t.equal(await found({}, '/nowhere'), '');
  t.equal(await found({}, '/%zz'), '');
});

t.test('an unknown path must be answered with a problem', async (t) => {
  const violations: string[] = [];
  const app = Fastify();
  checkResponses(app, (violation) => violations.push(violation));
  await registerOpenApi(app, publicDocumentation);
  await app.inject('/nowhere');
  t.same(violations, ['GET /nowhere answered 404: its content type is application/json']);
});

t.test('an app without an OpenAPI document is not checked', async (t) => {
  const violations: string[] = [];
  const app = Fastify();
  checkResponses(app, (violation) => violations.push(violation));
  t.equal((await app.inject('/nowhere')).statusCode, 404);
  t.same(violations, []);
});

t.test('an answer that does not conform makes the test process fail', async (t) => {
  await t.rejects(run(process.execPath, [...process.execArgv, STRAY]), {
    code: 1,
    stderr: /Responses that do not conform to openapi.json:\n- GET \/ answered 418: the status is not documented/,
  });
});
