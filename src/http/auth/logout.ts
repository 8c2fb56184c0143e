import { Type } from '@sinclair/typebox';
import { logout } from '../flows/logout.js';
import type { Services } from '../flows/services.js';
import type { App } from '../kit/route.js';

const Body = Type.Object(
  {
    scope: Type.Optional(
      Type.Union([Type.Literal('all'), Type.Literal('session'), Type.Literal('others')], {
        default: 'all',
        description: "Which of the user's sessions to end: all, the current one, or all others",
      }),
    ),
    refresh_token: Type.Optional(
      Type.String({ description: 'For a client that has no cookie and whose access token has expired' }),
    ),
  },
  { additionalProperties: false },
);

export function addLogoutRoute(app: App, services: Services): void {
  app.post(
    '/logout',
    {
      config: {
        needs: 'nothing',
        bodyIsOptional: true,
        fails: [
          'authentication_required',
          'insufficient_scope',
          'insufficient_user_authentication',
          'invalid_token',
          'reauthentication_required',
        ],
      },
      schema: { summary: 'Log out', body: Body, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      const { scope = 'all', refresh_token: bodyToken } = request.body;
      await logout(request, reply, services, { scope, bodyToken });
      return reply.code(204).send(null);
    },
  );
}
