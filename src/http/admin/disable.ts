import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import { SubjectParams } from './bodies.js';
import type { AdminServices } from './services.js';

const Disabled = Type.Object({ disabled_at: Type.Integer({ description: 'Since when, in seconds since 1970' }) });

/** Whether a subject may log in. */
export function disable(app: App, { sessions, users, report }: AdminServices): void {
  app.post(
    '/subjects/:subject/disable',
    {
      config: { needs: 'users:write', fails: ['invalid_subject'] },
      schema: {
        summary: 'Disable a subject',
        operationId: 'disableSubject',
        tags: ['admin'],
        description: 'Ends all its sessions and begins no more. Before the answer, every token of it is dead.',
        params: SubjectParams,
        response: { 200: Disabled },
      },
    },
    async (request) => {
      const { subject } = request.params;
      // In this order: a session that began before the first is ended by the second.
      const disabledAt = await users.disable(subject);
      await sessions.revokeAll(subject, { reason: 'revoked' });
      report({ event: 'disable', outcome: 'success', actor: request.adminKey, subject, address: request.ip });
      return { disabled_at: toSeconds(disabledAt) };
    },
  );

  app.post(
    '/subjects/:subject/enable',
    {
      config: { needs: 'users:write', fails: ['invalid_subject'] },
      schema: {
        summary: 'Enable a subject',
        operationId: 'enableSubject',
        tags: ['admin'],
        params: SubjectParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subject } = request.params;
      await users.enable(subject);
      report({ event: 'enable', outcome: 'success', actor: request.adminKey, subject, address: request.ip });
      return reply.code(204).send(null);
    },
  );
}
