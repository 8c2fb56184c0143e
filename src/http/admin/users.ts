import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import type { AdminServices } from './services.js';

const Query = Type.Object(
  {
    username: Type.Optional(
      Type.String({ maxLength: 254, description: 'The beginning of the username; without it, all' }),
    ),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 32, description: 'From the answer before; for the next part' }),
    ),
  },
  { additionalProperties: false },
);
const Found = Type.Object({
  users: Type.Array(
    Type.Object({
      subject: Type.String(),
      username: Type.String(),
      created_at: Type.Integer(),
      disabled_at: Type.Optional(Type.Integer()),
    }),
  ),
  cursor: Type.Optional(
    Type.String({ description: 'Where to go on; absent at the end. A part may be empty and not the last' }),
  ),
});

/** Finds users by the beginning of their names, a part at a time, in no order. */
export function users(app: App, { users }: AdminServices): void {
  app.get(
    '/users',
    {
      config: { needs: 'users:read', fails: ['invalid_cursor'] },
      schema: {
        summary: 'Find users',
        operationId: 'findUsers',
        tags: ['admin'],
        querystring: Query,
        response: { 200: Found },
      },
    },
    async (request) => {
      const { username = '', cursor } = request.query;
      const { users: found, ...rest } = await users.search(username, cursor);
      return {
        users: found.map(({ subject, username, createdAt, disabledAt }) => ({
          subject,
          username,
          created_at: toSeconds(createdAt),
          ...(disabledAt !== undefined && { disabled_at: toSeconds(disabledAt) }),
        })),
        ...rest,
      };
    },
  );
}
