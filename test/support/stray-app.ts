import { Type } from '@sinclair/typebox';
import Fastify from 'fastify';
import { publicDocumentation } from '../../src/http/openapi/descriptions.js';
import { registerOpenApi } from '../../src/http/openapi/document.js';

// An app that sends a status it does not document; a test checks that the process fails.
const app = Fastify();
await registerOpenApi(app, publicDocumentation);
app.get('/', { schema: { summary: 'A test', response: { 204: Type.Null() } } }, (_request, reply) =>
  reply.code(418 as 204).send(null),
);
await app.inject('/');
