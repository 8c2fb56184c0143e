import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import { SubjectParams } from './schemas.js';
import type { AdminServices } from './services.js';

const SubjectReply = Type.Object(
  {
    subject: Type.String(),
    username: Type.Optional(Type.String({ description: 'Only for registered users' })),
    created_at: Type.Optional(Type.Integer()),
    disabled_at: Type.Optional(
      Type.Integer({ description: 'When the subject was disabled, in seconds since 1970; absent while it is enabled' }),
    ),
  },
  { additionalProperties: false },
);

const DisableReply = Type.Object({
  disabled_at: Type.Integer({ description: 'When the subject was disabled, in seconds since 1970' }),
});

/** Adds the routes that read, disable and enable a subject, and end all its sessions. */
export function addSubjectRoutes(app: App, { sessions, users, report }: AdminServices): void {
  app.get(
    '/subjects/:subject',
    {
      config: { needs: 'users:read', fails: ['invalid_subject'] },
      schema: {
        summary: 'Read a subject',
        description:
          'Any string may be a subject, so an unknown one is not an error: ' +
          'the response then contains `subject` and, if it is disabled, `disabled_at`.',
        params: SubjectParams,
        response: { 200: SubjectReply },
      },
    },
    async (request) => {
      const { subject } = request.params;
      const [user, disabledAt] = await Promise.all([users.get(subject), users.disabledSince(subject)]);
      return {
        subject,
        ...(user && { username: user.username, created_at: toSeconds(user.createdAt) }),
        ...(disabledAt !== undefined && { disabled_at: toSeconds(disabledAt) }),
      };
    },
  );

  app.post(
    '/subjects/:subject/disable',
    {
      config: { needs: 'users:write', fails: ['invalid_subject'] },
      schema: {
        summary: 'Disable a subject',
        description:
          'Ends all sessions of the subject and rejects new ones. ' +
          'All its tokens are invalid by the time the response is sent.',
        params: SubjectParams,
        response: { 200: DisableReply },
      },
    },
    async (request) => {
      const { adminKey: actor, ip: address } = request;
      const { subject } = request.params;
      // Disable first, so that no session can start between revoking and disabling.
      const disabledAt = await users.disable(subject);
      await sessions.revokeAll(subject, { reason: 'revoked' });
      report({ event: 'disable', outcome: 'success', actor, subject, address });
      return { disabled_at: toSeconds(disabledAt) };
    },
  );

  app.post(
    '/subjects/:subject/enable',
    {
      config: { needs: 'users:write', fails: ['invalid_subject'] },
      schema: {
        summary: 'Enable a subject',
        params: SubjectParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { adminKey: actor, ip: address } = request;
      const { subject } = request.params;
      await users.enable(subject);
      report({ event: 'enable', outcome: 'success', actor, subject, address });
      return reply.code(204).send(null);
    },
  );

  app.delete(
    '/subjects/:subject/sessions',
    {
      config: { needs: 'sessions:write', fails: ['invalid_subject'] },
      schema: {
        summary: "End all of a subject's sessions",
        params: SubjectParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { adminKey: actor, ip: address } = request;
      const { subject } = request.params;
      const reason = 'revoked';
      await sessions.revokeAll(subject, { reason });
      report({ event: 'session_end', outcome: 'success', reason, actor, subject, address });
      return reply.code(204).send(null);
    },
  );
}
