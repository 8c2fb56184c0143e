import { Type } from '@sinclair/typebox';
import type { App } from '../kit/route.js';
import { toSeconds } from '../kit/token-response.js';
import type { AdminServices } from './services.js';

const Query = Type.Object(
  {
    username: Type.Optional(
      Type.String({ maxLength: 254, description: 'Prefix of the username; if absent, all users are returned' }),
    ),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 32, description: 'The `cursor` of the previous response' }),
    ),
  },
  { additionalProperties: false },
);
const UsersReply = Type.Object({
  users: Type.Array(
    Type.Object({
      subject: Type.String(),
      username: Type.String(),
      created_at: Type.Integer(),
      disabled_at: Type.Optional(Type.Integer()),
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      description: 'Pass it to get the next page; absent on the last page. A page may be empty without being the last',
    }),
  ),
});

/** Adds the route that searches users by username prefix: page by page, in no particular order. */
export function addUserRoutes(app: App, { users }: AdminServices): void {
  app.get(
    '/users',
    {
      config: { needs: 'users:read', fails: ['invalid_cursor'] },
      schema: {
        summary: 'Find users',
        querystring: Query,
        response: { 200: UsersReply },
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
