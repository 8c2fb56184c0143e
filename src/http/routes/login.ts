import { Type } from '@sinclair/typebox';
import { inTurn } from '../in-turn.js';
import { logIn } from '../log-in.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { handOver, TokensBody } from '../tokens.js';

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
