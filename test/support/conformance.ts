import { subscribe } from 'node:diagnostics_channel';
import { Ajv2020, type AnySchemaObject, type ValidateFunction } from 'ajv/dist/2020.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

interface Response {
  content?: Record<string, { schema: AnySchemaObject }>;
  headers?: Record<string, unknown>;
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>;
}

/** Who is told about an app: the last one that asked. */
const tellers = new WeakMap<FastifyInstance, (violation: string) => void>();

/**
 * Holds every answer of an app against its own OpenAPI document: that the status is documented, the content type
 * and the body are what the document says, and the documented headers are there. What has no document is not judged,
 * nor what it leaves out on purpose, such as pages.
 *
 * @param tell is told, in a sentence, of each answer that does not conform.
 */
export function holdToDocument(app: FastifyInstance, tell: (violation: string) => void): void {
  const isHeld = tellers.has(app);
  tellers.set(app, tell);
  if (isHeld) return;
  let judge: ReturnType<typeof judgeOf> | undefined;
  app.addHook('onSend', async (request, reply, payload) => {
    if (!app.hasDecorator('swagger')) return;
    judge ??= judgeOf(app.swagger() as unknown as Document);
    const violation = judge(request, reply, payload);
    if (violation === undefined) return;
    tellers.get(app)!(
      `${request.method} ${request.routeOptions.url ?? request.url} answered ${reply.statusCode}: ${violation}`,
    );
  });
}

/** Checks every app that this process makes against its document; the process fails if an answer does not conform. */
export function holdEveryAppToItsDocument(): void {
  const violations = new Set<string>();
  subscribe('fastify.initialization', (message) => {
    holdToDocument((message as { fastify: FastifyInstance }).fastify, (violation) => violations.add(violation));
  });
  process.once('exit', () => {
    if (violations.size === 0) return;
    console.error(['Answers that do not conform to openapi.json:', ...violations].join('\n- '));
    process.exitCode = 1;
  });
}

function judgeOf(document: Document) {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, 'openapi.json');
  const validators = new Map<string, ValidateFunction>();
  const validatorAt = (...path: string[]) => {
    const pointer = path
      .map((name) => name.replaceAll('~', '~0').replaceAll('/', '~1'))
      .map(encodeURIComponent)
      .join('/');
    const known = validators.get(pointer);
    if (known) return known;
    const validator = ajv.compile({ $ref: `openapi.json#/${pointer}` });
    validators.set(pointer, validator);
    return validator;
  };

  return (
    { method, is404, routeOptions }: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
  ): string | undefined => {
    const [type = ''] = String(reply.getHeader('content-type') ?? '').split(';');
    const invalid = (validate: ValidateFunction) => {
      if (typeof payload !== 'string') return 'the body is no text';
      return validate(JSON.parse(payload)) ? undefined : ajv.errorsText(validate.errors, { dataVar: 'body' });
    };
    // What no route answers: a path that is not there, or a path that is no path.
    if (is404 || routeOptions.url === undefined) {
      return type === 'application/problem+json'
        ? invalid(validatorAt('components', 'schemas', 'Problem'))
        : `its content type is ${type}`;
    }
    if (routeOptions.schema === undefined || routeOptions.schema.hide) return undefined;

    const path = routeOptions.url.replace(/:(\w+)/g, '{$1}');
    const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
    const response = document.paths[path]?.[verb]?.responses[reply.statusCode];
    if (!response) return 'the status is not documented';
    for (const name of Object.keys(response.headers ?? {}))
      if (!reply.hasHeader(name)) return `the header ${name} is not there`;
    if (reply.statusCode === 204) return undefined;
    if (!response.content)
      return payload === undefined || payload === null || payload === '' ? undefined : 'no body is documented';
    if (!(type in response.content)) return `the content type ${type} is not documented`;
    if (method === 'HEAD') return undefined;
    return invalid(validatorAt('paths', path, verb, 'responses', String(reply.statusCode), 'content', type, 'schema'));
  };
}
