import { Type } from '@sinclair/typebox';
import { inTurn } from '../kit/admission-queue.js';
import { logIn } from '../flows/login.js';
import type { App } from '../kit/route.js';
import type { Services } from '../flows/services.js';
import { handOver, TokensBody } from '../kit/token-response.js';

const Body = Type.Object(
  {
    username: Type.String(),
    password: Type.String(),
    transport: Type.Optional(Type.Union([Type.Literal('cookie'), Type.Literal('bearer')], { default: 'cookie' })),
  },
  { additionalProperties: false },
);

export function login(app: App, services: Services): void {
  app.post(
    '/login',
    {
      config: { needs: 'nothing', fails: ['invalid_credentials', 'too_many_requests'] },
      onRequest: inTurn(),
      schema: { summary: 'Log in', body: Body, response: { 200: TokensBody } },
    },
    async (request, reply) => {
      const { transport = 'cookie', ...credentials } = request.body;
      const tokens = await logIn(request, reply, services, credentials);
      return handOver(reply, services.cookies, tokens, { transport });
    },
  );
}
