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

/** The current listener for each app's violations. */
const listeners = new WeakMap<FastifyInstance, (violation: string) => void>();

/**
 * Checks every response of an app against its OpenAPI document: its status is documented, its content type and body
 * match the document, and the documented headers are present. Apps without a document are not checked, nor are routes
 * that the document hides, such as pages.
 *
 * @param onViolation Called with a sentence for each response that does not conform. Replaces an earlier listener.
 */
export function checkResponses(app: FastifyInstance, onViolation: (violation: string) => void): void {
  const isChecked = listeners.has(app);
  listeners.set(app, onViolation);
  if (isChecked) return;
  let findViolation: ReturnType<typeof createResponseCheck> | undefined;
  app.addHook('onSend', async (request, reply, payload) => {
    if (!app.hasDecorator('swagger')) return;
    findViolation ??= createResponseCheck(app.swagger() as unknown as Document);
    const violation = findViolation(request, reply, payload);
    if (violation === undefined) return;
    listeners.get(app)!(
      `${request.method} ${request.routeOptions.url ?? request.url} answered ${reply.statusCode}: ${violation}`,
    );
  });
}

/** Checks the responses of every app in this process; the process fails if one does not conform to its document. */
export function checkResponsesOfEveryApp(): void {
  const violations = new Set<string>();
  subscribe('fastify.initialization', (message) => {
    checkResponses((message as { fastify: FastifyInstance }).fastify, (violation) => violations.add(violation));
  });
  process.once('exit', () => {
    if (violations.size === 0) return;
    console.error(['Responses that do not conform to openapi.json:', ...violations].join('\n- '));
    process.exitCode = 1;
  });
}

function createResponseCheck(document: Document) {
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
      if (typeof payload !== 'string') return 'the body is not text';
      return validate(JSON.parse(payload)) ? undefined : ajv.errorsText(validate.errors, { dataVar: 'body' });
    };
    // No route answered: the path is unknown or malformed.
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
      if (!reply.hasHeader(name)) return `the header ${name} is missing`;
    if (reply.statusCode === 204) return undefined;
    if (!response.content)
      return payload === undefined || payload === null || payload === '' ? undefined : 'no body is documented';
    if (!(type in response.content)) return `the content type ${type} is not documented`;
    if (method === 'HEAD') return undefined;
    return invalid(validatorAt('paths', path, verb, 'responses', String(reply.statusCode), 'content', type, 'schema'));
  };
}
