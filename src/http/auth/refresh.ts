import { Type } from '@sinclair/typebox';
import { refreshTokens } from '../flows/refresh.js';
import type { Services } from '../flows/services.js';
import type { App } from '../kit/route.js';
import { deliverTokens, TokensBody } from '../kit/token-response.js';

const Body = Type.Object({ refresh_token: Type.Optional(Type.String()) }, { additionalProperties: false });

export function addRefreshRoute(app: App, services: Services): void {
  app.post(
    '/refresh',
    {
      config: { needs: 'nothing', bodyIsOptional: true, fails: ['reauthentication_required'] },
      schema: {
        summary: 'Refresh',
        description:
          'Exchanges a refresh token, sent as a cookie or in the body, for a pair of tokens, returned the same way.',
        body: Body,
        response: { 200: TokensBody },
      },
    },
    async (request, reply) => {
      const { tokens, ...delivery } = await refreshTokens(request, services, request.body.refresh_token);
      return deliverTokens(reply, services.cookies, tokens, delivery);
    },
  );
}
