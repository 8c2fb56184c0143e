import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import { SubjectParams } from './bodies.js';
import type { AdminServices } from './services.js';

const Subject = Type.Object(
  {
    subject: Type.String(),
    username: Type.Optional(Type.String({ description: 'Of a registered user' })),
    created_at: Type.Optional(Type.Integer()),
    disabled_at: Type.Optional(Type.Integer({ description: 'Since when it may not log in, in seconds since 1970' })),
  },
  { additionalProperties: false },
);

/** What is known of a subject: any string can be one, so an unknown one is not missing. */
export function subject(app: App, { users }: AdminServices): void {
  app.get(
    '/subjects/:subject',
    {
      config: { needs: 'users:read', fails: ['invalid_subject'] },
      schema: {
        summary: 'Read what is known of a subject',
        operationId: 'readSubject',
        tags: ['admin'],
        params: SubjectParams,
        response: { 200: Subject },
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
}
