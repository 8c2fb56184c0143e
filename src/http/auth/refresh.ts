import { Type } from '@sinclair/typebox';
import { refresh as refreshed } from '../flows/refresh.js';
import type { App } from '../kit/route.js';
import type { Services } from '../flows/services.js';
import { TokensBody } from '../kit/token-response.js';

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
