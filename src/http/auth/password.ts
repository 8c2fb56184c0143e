import { Type } from '@sinclair/typebox';
import { changePassword } from '../flows/change-password.js';
import type { LocalUsers, Services } from '../flows/services.js';
import { readAccessToken } from '../kit/presented-tokens.js';
import type { App } from '../kit/route.js';
import { deliverTokens, TokensBody } from '../kit/token-response.js';

const Body = Type.Object(
  { current_password: Type.String(), new_password: Type.String() },
  { additionalProperties: false },
);

export function addPasswordRoute(app: App, services: Services, users: LocalUsers): void {
  app.post(
    '/password',
    {
      config: { needs: 'recent-session', fails: ['invalid_credentials', 'password_not_allowed', 'too_many_requests'] },
      schema: {
        summary: 'Change the password',
        description: "Ends all of the user's sessions and starts a new one on this device.",
        body: Body,
        response: { 200: TokensBody },
      },
    },
    async (request, reply) => {
      const { current_password: currentPassword, new_password: newPassword } = request.body;
      const principal = request.principal!;
      const tokens = await changePassword(request, reply, services, users, { principal, currentPassword, newPassword });
      const { transport } = readAccessToken(request, services.cookies)!;
      return deliverTokens(reply, services.cookies, tokens, { transport });
    },
  );
}
