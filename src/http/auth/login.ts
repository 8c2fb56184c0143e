import { Type } from '@sinclair/typebox';
import { login } from '../flows/login.js';
import type { Services } from '../flows/services.js';
import { admitInBatches } from '../kit/admission-queue.js';
import type { App } from '../kit/route.js';
import { deliverTokens, TokensBody } from '../kit/token-response.js';

const Body = Type.Object(
  {
    username: Type.String(),
    password: Type.String(),
    // The default is only for the OpenAPI document: the validator applies none.
    transport: Type.Optional(Type.Union([Type.Literal('cookie'), Type.Literal('bearer')], { default: 'cookie' })),
  },
  { additionalProperties: false },
);

export function addLoginRoute(app: App, services: Services): void {
  app.post(
    '/login',
    {
      config: { needs: 'nothing', fails: ['invalid_credentials', 'too_many_requests'] },
      onRequest: admitInBatches(),
      schema: { summary: 'Log in', body: Body, response: { 200: TokensBody } },
    },
    async (request, reply) => {
      const { transport = 'cookie', ...credentials } = request.body;
      const tokens = await login(request, reply, services, credentials);
      return deliverTokens(reply, services.cookies, tokens, { transport });
    },
  );
}
