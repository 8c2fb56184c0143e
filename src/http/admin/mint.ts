import { type Static, Type } from '@sinclair/typebox';
import type { IssueRequest } from '../../sessions/store.js';
import { StaleCredentialError } from '../../sessions/store.js';
import { Problem } from '../kit/problem.js';
import { reportDisplacedSessions } from '../flows/audit.js';
import type { App } from '../kit/route.js';
import { toBearerBody, TokensBody } from '../kit/token-response.js';
import { Data } from './bodies.js';
import type { AdminServices } from './services.js';

const LONGEST_SECONDS = 3650 * 86_400;

const Body = Type.Object(
  {
    subject: Type.String({ description: 'For whom: 1 to 255 bytes' }),
    username: Type.Optional(Type.String({ minLength: 1, maxLength: 254 })),
    methods: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 32 }), {
        maxItems: 10,
        description: 'How the user was authenticated (RFC 8176)',
      }),
    ),
    authenticated_at: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 2 ** 40,
        description: 'When, in seconds since 1970; now, if it is not told or in the future',
      }),
    ),
    client_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'The OAuth client that alone can refresh the session, at /oauth/token',
      }),
    ),
    scope: Type.Optional(Type.String({ maxLength: 1024 })),
    data: Type.Optional(Data),
    device: Type.Optional(Type.String({ maxLength: 64, description: 'A label for people' })),
    address: Type.Optional(Type.String({ maxLength: 64, description: "The user's network address" })),
    lifetime_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LONGEST_SECONDS,
        description: 'An absolute lifetime, where it is shorter than that of all sessions',
      }),
    ),
  },
  { additionalProperties: false },
);

/** A session for a subject that the caller has authenticated itself. */
export function mint(app: App, { sessions, report }: AdminServices): void {
  app.post(
    '/sessions',
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'invalid_session_data', 'subject_disabled'] },
      schema: {
        summary: 'Mint a session',
        operationId: 'mintSession',
        tags: ['admin'],
        body: Body,
        response: { 201: TokensBody },
      },
    },
    async (request, reply) => {
      const { subject } = request.body;
      const tokens = await sessions.issue(issueRequest(request.body)).catch((error: unknown) => {
        // There was no credential that could have changed.
        throw error instanceof StaleCredentialError ? new Problem('subject_disabled') : error;
      });
      const { sessionId } = tokens.principal;
      report({
        event: 'session_mint',
        outcome: 'success',
        actor: request.adminKey,
        subject,
        sessionId,
        address: request.ip,
      });
      reportDisplacedSessions({ report }, tokens, request.ip);
      return reply.code(201).send(toBearerBody(tokens));
    },
  );
}

function issueRequest(body: Static<typeof Body>): IssueRequest {
  const { subject, username, methods = [], client_id, scope, data, device = 'unknown', address = 'unknown' } = body;
  return {
    identity: {
      subject,
      methods,
      ...(username !== undefined && { username }),
      ...(client_id !== undefined && { client: client_id }),
      ...(scope !== undefined && { scope }),
      ...(data !== undefined && { data }),
    },
    origin: { device, address },
    ...(body.authenticated_at !== undefined && { authenticatedAt: body.authenticated_at * 1000 }),
    ...(body.lifetime_seconds !== undefined && { lifetimeMs: body.lifetime_seconds * 1000 }),
  };
}
