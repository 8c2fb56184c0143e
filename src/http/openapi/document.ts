import { readFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import swagger, { type FastifyDynamicSwaggerOptions, type SwaggerTransformObject } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify';
import { headersHook, SECURITY_HEADERS } from '../kit/headers.js';
import { type OAuthErrorCode, oauthErrors } from '../kit/oauth-error.js';
import { type ProblemCode, problems } from '../kit/problem.js';
import type { Needs } from '../kit/route.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Swagger UI needs no inline script and loads nothing from other origins. */
const DOCS_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const enumOf = (codes: readonly string[]) => Type.Unsafe<string>({ type: 'string', enum: codes });

const ProblemBody = Type.Object(
  {
    title: Type.String({ description: 'Name of the HTTP status' }),
    status: Type.Integer(),
    code: enumOf(Object.keys(problems)),
    detail: Type.String({ description: 'Human-readable explanation' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          { field: Type.String({ description: 'For example body.password' }), detail: Type.String() },
          { additionalProperties: false },
        ),
      ),
    ),
    reason: Type.Optional(Type.String({ description: 'A short code with more detail than `code`' })),
  },
  { $id: 'Problem', additionalProperties: false, description: 'An error (RFC 9457)' },
);

const OAuthErrorBody = Type.Object(
  {
    error: enumOf(Object.keys(oauthErrors)),
    error_description: Type.String({ description: 'Human-readable explanation' }),
  },
  { $id: 'OAuthError', additionalProperties: false, description: 'An error (RFC 6749 section 5.2)' },
);

const API_KEY = [{ apiKey: [] }];

/** Security schemes for each requirement; any one of them suffices. */
const SECURITY: Record<Needs, readonly { readonly [scheme: string]: readonly string[] }[]> = {
  nothing: [],
  session: [{ cookie: [] }, { bearer: [] }],
  'user-session': [{ cookie: [] }, { bearer: [] }],
  'recent-session': [{ cookie: [] }, { bearer: [] }],
  client: [{ client: [] }, {}],
  'confidential-client': [{ client: [] }, {}],
  'sessions:read': API_KEY,
  'sessions:write': API_KEY,
  'users:read': API_KEY,
  'users:write': API_KEY,
};

/** Parts of a document that do not depend on the routes. */
export interface Documentation {
  readonly title: string;
  readonly description: string;
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly securitySchemes: SecuritySchemes;
}

type SecuritySchemes = NonNullable<
  NonNullable<NonNullable<FastifyDynamicSwaggerOptions['openapi']>['components']>['securitySchemes']
>;

const OPENAPI_JSON = {
  summary: 'This document',
  tags: ['documentation'],
  response: { 200: Type.Object({}, { additionalProperties: true }) },
};

/** Marks an optional body, because the generator declares every body as required. */
const OPTIONAL_BODY = 'x-optional-body';

/**
 * Serves an OpenAPI 3.1 document of all routes that are registered afterwards: at `/openapi.json` and, as Swagger UI,
 * at `/docs`. Security and errors are derived from each route's `needs` and `fails`.
 */
export async function registerOpenApi(
  app: FastifyInstance,
  { title, description, tags, securitySchemes }: Documentation,
): Promise<void> {
  app.addSchema(ProblemBody);
  if (tags.some(({ name }) => name === 'oauth')) app.addSchema(OAuthErrorBody);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: { title, version, description, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/' }],
      tags: [...tags],
      components: { securitySchemes },
    },
    refResolver: { buildLocalReference: ({ $id }) => $id as string },
    transform: ({ schema, url, route }) => ({ schema: describeRoute(schema, url, route), url }),
    transformObject: markOptionalBodies,
  });
  await app.register(async (scope) => {
    scope.addHook('onRequest', headersHook(SECURITY_HEADERS));
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: DOCS_CSP,
      theme: { title },
      // The default layout has a bar that styles its logo inline, which the policy forbids.
      uiConfig: { url: '/openapi.json', layout: 'BaseLayout' },
    });
    scope.get('/openapi.json', { config: { needs: 'nothing' }, schema: OPENAPI_JSON }, () => app.swagger());
  });
}

function describeRoute(
  schema: FastifySchema | undefined,
  url: string,
  { config = {}, method }: RouteOptions,
): FastifySchema {
  if (schema === undefined || schema.hide) return { hide: true };
  const { needs = 'nothing', bodyIsOptional } = config;
  // For example, GET /auth/session is tagged `auth`, and its operation id is `getAuthSession`.
  const words = [String(method).toLowerCase(), ...url.split(/[^a-z]+/i).filter(Boolean)];
  const tags = schema.tags ?? [words[1]!];
  const isOAuth = tags.includes('oauth');
  const errors = isOAuth
    ? describeOAuthErrors(needs, config.fails)
    : describeProblems(needs, method !== 'GET', schema, config.fails);
  const responses = Object.entries(schema.response ?? {}).map(([status, response]) => [
    status,
    { 'x-response-description': STATUS_CODES[status], ...(response as object) },
  ]);
  return {
    ...schema,
    operationId: words.map((word, i) => (i === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join(''),
    tags,
    security: SECURITY[needs],
    ...(isOAuth && { consumes: ['application/x-www-form-urlencoded'] }),
    ...(bodyIsOptional && { [OPTIONAL_BODY]: true }),
    response: { ...errors, ...Object.fromEntries(responses) },
  };
}

const markOptionalBodies: SwaggerTransformObject = (document) => {
  const { openapiObject } = document as { openapiObject: { paths: Record<string, Record<string, Operation>> } };
  for (const operation of Object.values(openapiObject.paths).flatMap((path) => Object.values(path))) {
    if (operation[OPTIONAL_BODY] && operation.requestBody) operation.requestBody.required = false;
    delete operation[OPTIONAL_BODY];
  }
  return openapiObject;
};

interface Operation {
  requestBody?: { required: boolean };
  [OPTIONAL_BODY]?: boolean;
}

function describeProblems(
  needs: Needs,
  changesState: boolean,
  { querystring, params }: FastifySchema,
  declared: readonly string[] = [],
) {
  const codes = new Set<ProblemCode>([...(declared as ProblemCode[]), 'internal_error', 'unavailable']);
  const add = (...more: ProblemCode[]) => more.forEach((code) => codes.add(code));
  if (changesState) add('invalid_request', 'payload_too_large', 'unsupported_media_type');
  if (needs.includes(':')) add('admin_key_required', 'admin_scope_required');
  else if (changesState) add('ambiguous_credentials', 'cross_site_request');
  if (querystring ?? params) add('invalid_request');
  if (params) add('not_found');
  if (needs.endsWith('session'))
    add('invalid_request', 'ambiguous_credentials', 'authentication_required', 'invalid_token');
  if (needs === 'user-session' || needs === 'recent-session') add('insufficient_scope');
  if (needs === 'recent-session') add('insufficient_user_authentication');
  return groupByStatus(
    [...codes],
    (code) => problems[code].status,
    (codes) => ({
      'application/problem+json': {
        schema: { allOf: [{ $ref: 'Problem#' }, { type: 'object', properties: { code: enumOf(codes) } }] },
      },
    }),
  );
}

function describeOAuthErrors(needs: Needs, declared: readonly string[] = []) {
  const codes = new Set<OAuthErrorCode>([...(declared as OAuthErrorCode[]), 'server_error', 'temporarily_unavailable']);
  if (needs !== 'nothing') codes.add('invalid_request').add('invalid_client');
  return groupByStatus(
    [...codes],
    (code) => oauthErrors[code],
    (codes) => ({
      'application/json': {
        schema: { allOf: [{ $ref: 'OAuthError#' }, { type: 'object', properties: { error: enumOf(codes) } }] },
      },
    }),
  );
}

function groupByStatus<Code extends string>(
  codes: readonly Code[],
  statusOf: (code: Code) => number,
  content: (codes: Code[]) => Record<string, { schema: object }>,
) {
  const statuses = [...new Set(codes.map(statusOf))];
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        'x-response-description': STATUS_CODES[status],
        content: content(codes.filter((code) => statusOf(code) === status)),
      },
    ]),
  );
}
