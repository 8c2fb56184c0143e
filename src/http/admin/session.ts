import { Type } from '@sinclair/typebox';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { AdminSession, adminSession, Data, SessionParams } from './bodies.js';
import type { AdminServices } from './services.js';

const PATH = '/subjects/:subject/sessions/:id';
const Patch = Type.Object({ data: Data }, { additionalProperties: false });

/** One session of a subject. */
export function session(app: App, { sessions, report }: AdminServices): void {
  app.get(
    PATH,
    {
      config: { needs: 'sessions:read', fails: ['invalid_subject', 'not_found'] },
      schema: {
        summary: 'Read a session',
        operationId: 'readSession',
        tags: ['admin'],
        params: SessionParams,
        response: { 200: AdminSession },
      },
    },
    async (request) => {
      const session = await sessions.get(request.params.subject, request.params.id);
      if (!session) throw new Problem('not_found');
      return adminSession(session);
    },
  );

  app.patch(
    PATH,
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'invalid_session_data', 'not_found'] },
      schema: {
        summary: "Change a session's data",
        operationId: 'patchSession',
        tags: ['admin'],
        description:
          '`data` is a merge patch (RFC 7396): each field that it names is set, or removed by null; the others stay.',
        params: SessionParams,
        body: Patch,
        response: { 200: Type.Object({ data: Data }) },
      },
    },
    async (request) => {
      const { subject, id: sessionId } = request.params;
      const data = await sessions.update(subject, sessionId, request.body.data);
      if (!data) throw new Problem('not_found');
      report({
        event: 'session_update',
        outcome: 'success',
        actor: request.adminKey,
        subject,
        sessionId,
        address: request.ip,
      });
      return { data };
    },
  );

  app.delete(
    PATH,
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject', 'not_found'] },
      schema: {
        summary: 'End a session',
        operationId: 'endSubjectSession',
        tags: ['admin'],
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subject, id: sessionId } = request.params;
      const reason = 'revoked';
      if (!(await sessions.revoke(subject, sessionId, reason))) throw new Problem('not_found');
      report({
        event: 'session_end',
        outcome: 'success',
        reason,
        actor: request.adminKey,
        subject,
        sessionId,
        address: request.ip,
      });
      return reply.code(204).send(null);
    },
  );
}
