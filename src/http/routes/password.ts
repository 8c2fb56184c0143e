import { Type } from '@sinclair/typebox';
import type { Users } from '../../identity/users.js';
import { challenge, presentedAccessToken } from '../credentials.js';
import { originOf } from '../device.js';
import { Problem } from '../problem.js';
import { reportingRefusal } from '../report.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { abortedWith } from '../signal.js';
import { handOver, TokensBody } from '../tokens.js';

const Body = Type.Object({ current_password: Type.String(), new_password: Type.String() }, { additionalProperties: false });

export function password(app: App, services: Services, users: Users): void {
  const { throttle, sessions, cookies, report } = services;

  app.post(
    '/password',
    { config: { needs: 'recent-session' }, schema: { body: Body, response: { 200: TokensBody } } },
    async (request, reply) => {
      // Guesses count for the name that the user logs in by: it is the same password.
      const { subject, sessionId, username = subject, methods } = request.principal!;
      const { current_password, new_password } = request.body;
      const origin = originOf(request);
      const { address } = origin;
      const signal = abortedWith(reply);

      const tokens = await reportingRefusal(services, { event: 'password_change', subject, sessionId, address }, async () => {
        const user = await throttle.guard({ username, address }, () => users.checkPassword(subject, current_password, signal));
        if (!user) throw new Problem('invalid_credentials', { detail: 'The current password is wrong.', headers: challenge() });
        const replacement = await users.newCredential(new_password, user.username, signal);
        // Nothing that was issued before survives, stolen or not: this device begins anew, with the new credential.
        await sessions.revokeAll(subject, { reason: 'password_changed', credential: { verified: user.credential, replacement } });
        return sessions.issue({
          identity: { subject, username: user.username, methods },
          credential: replacement,
          origin,
        });
      });
      report({ event: 'password_change', outcome: 'success', subject, sessionId: tokens.principal.sessionId, address });
      const { transport } = presentedAccessToken(request, cookies)!;
      return handOver(reply, cookies, tokens, { transport });
    },
  );
}
