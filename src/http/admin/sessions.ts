import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { AdminSession, adminSession, SubjectParams } from './bodies.js';
import type { AdminServices } from './services.js';

/** All sessions of a subject. */
export function sessions(app: App, { sessions, report }: AdminServices): void {
  app.get(
    '/subjects/:subject/sessions',
    {
      config: { needs: 'sessions:read', fails: ['invalid_subject'] },
      schema: {
        summary: "List a subject's sessions",
        operationId: 'listSubjectSessions',
        tags: ['admin'],
        params: SubjectParams,
        response: { 200: Type.Object({ sessions: Type.Array(AdminSession) }) },
      },
    },
    async (request) => ({ sessions: (await sessions.list(request.params.subject)).map(adminSession) }),
  );

  app.delete(
    '/subjects/:subject/sessions',
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject'] },
      schema: {
        summary: "End all of a subject's sessions",
        operationId: 'endSubjectSessions',
        tags: ['admin'],
        params: SubjectParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subject } = request.params;
      const reason = 'revoked';
      await sessions.revokeAll(subject, { reason });
      report({
        event: 'session_end',
        outcome: 'success',
        reason,
        actor: request.adminKey,
        subject,
        address: request.ip,
      });
      return reply.code(204).send(null);
    },
  );
}
