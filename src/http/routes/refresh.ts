import { Type } from '@sinclair/typebox';
import { refresh as refreshed } from '../refresh.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { TokensBody } from '../tokens.js';

const Body = Type.Object({ refresh_token: Type.Optional(Type.String()) }, { additionalProperties: false });

export function refresh(app: App, services: Services): void {
  app.post(
    '/refresh',
    {
      config: { needs: 'nothing', bodyIsOptional: true, fails: ['reauthentication_required'] },
      schema: {
        summary: 'Refresh',
        description: 'Answers a refresh token, in the cookie or in the body, with a pair of tokens in the same way.',
        body: Body,
        response: { 200: TokensBody },
      },
    },
    (request, reply) => refreshed(request, reply, services, request.body.refresh_token),
  );
}
