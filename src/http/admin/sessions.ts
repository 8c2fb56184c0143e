import { type Static, Type } from '@sinclair/typebox';
import { StaleCredentialError } from '../../sessions/errors.js';
import type { IssueRequest } from '../../sessions/session.js';
import { reportDisplacedSessions } from '../flows/audit.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { toBearerBody, TokensBody } from '../kit/token-response.js';
import { SessionData, SessionReply, SubjectParams, toSessionReply } from './schemas.js';
import type { AdminServices } from './services.js';

const SESSION = '/subjects/:subject/sessions/:id';
const MAX_LIFETIME_SECONDS = 3650 * 86_400;

const SessionParams = Type.Object(
  { subject: Type.String(), id: Type.String({ maxLength: 64 }) },
  { additionalProperties: false },
);

const MintBody = Type.Object(
  {
    subject: Type.String({ description: "The user's identifier: 1 to 255 bytes" }),
    username: Type.Optional(Type.String({ minLength: 1, maxLength: 254 })),
    methods: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 32 }), {
        maxItems: 10,
        description: 'How the user authenticated (RFC 8176)',
      }),
    ),
    authenticated_at: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 2 ** 40,
        description:
          'When the user authenticated, in seconds since 1970; at most the current time, which is the default',
      }),
    ),
    client_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'The only OAuth client that may refresh the session, at /oauth/token',
      }),
    ),
    scope: Type.Optional(Type.String({ maxLength: 1024 })),
    data: Type.Optional(SessionData),
    device: Type.Optional(Type.String({ maxLength: 64, description: 'Human-readable label' })),
    address: Type.Optional(Type.String({ maxLength: 64, description: "The user's network address" })),
    lifetime_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_LIFETIME_SECONDS,
        description: 'Absolute lifetime; the configured one applies if it is shorter',
      }),
    ),
  },
  { additionalProperties: false },
);

/** Adds the routes that mint, list, read, change and end sessions. */
export function addSessionRoutes(app: App, { sessions, report }: AdminServices): void {
  app.post(
    '/sessions',
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'invalid_session_data', 'subject_disabled'] },
      schema: {
        summary: 'Mint a session',
        description: 'Creates a session for a user whom the caller has authenticated.',
        body: MintBody,
        response: { 201: TokensBody },
      },
    },
    async (request, reply) => {
      const { adminKey: actor, ip: address } = request;
      const { subject } = request.body;
      const tokens = await sessions.issue(toIssueRequest(request.body)).catch((error: unknown) => {
        // No credential is checked here, so this error can only mean that the subject is disabled.
        throw error instanceof StaleCredentialError ? new Problem('subject_disabled') : error;
      });
      const { sessionId } = tokens.principal;
      report({ event: 'session_mint', outcome: 'success', actor, subject, sessionId, address });
      reportDisplacedSessions({ report }, tokens, address);
      return reply.code(201).send(toBearerBody(tokens));
    },
  );

  app.get(
    '/subjects/:subject/sessions',
    {
      config: { needs: 'sessions:read', fails: ['invalid_subject'] },
      schema: {
        summary: "List a subject's sessions",
        params: SubjectParams,
        response: { 200: Type.Object({ sessions: Type.Array(SessionReply) }) },
      },
    },
    async (request) => ({ sessions: (await sessions.list(request.params.subject)).map(toSessionReply) }),
  );

  app.get(
    SESSION,
    {
      config: { needs: 'sessions:read', fails: ['invalid_subject', 'not_found'] },
      schema: {
        summary: 'Read a session',
        params: SessionParams,
        response: { 200: SessionReply },
      },
    },
    async (request) => {
      const session = await sessions.get(request.params.subject, request.params.id);
      if (!session) throw new Problem('not_found');
      return toSessionReply(session);
    },
  );

  app.patch(
    SESSION,
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'invalid_session_data', 'not_found'] },
      schema: {
        summary: "Change a session's data",
        description:
          '`data` is a JSON merge patch (RFC 7396): it is merged into the present data, and null removes a field.',
        params: SessionParams,
        body: Type.Object({ data: SessionData }, { additionalProperties: false }),
        response: { 200: Type.Object({ data: SessionData }) },
      },
    },
    async (request) => {
      const { adminKey: actor, ip: address } = request;
      const { subject, id: sessionId } = request.params;
      const data = await sessions.update(subject, sessionId, request.body.data);
      if (!data) throw new Problem('not_found');
      report({ event: 'session_update', outcome: 'success', actor, subject, sessionId, address });
      return { data };
    },
  );

  app.delete(
    SESSION,
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'not_found'] },
      schema: {
        summary: 'End a session',
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { adminKey: actor, ip: address } = request;
      const { subject, id: sessionId } = request.params;
      const reason = 'revoked';
      if (!(await sessions.revoke(subject, sessionId, reason))) throw new Problem('not_found');
      report({ event: 'session_end', outcome: 'success', reason, actor, subject, sessionId, address });
      return reply.code(204).send(null);
    },
  );
}

function toIssueRequest(body: Static<typeof MintBody>): IssueRequest {
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
