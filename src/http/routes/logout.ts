import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import { challenge, presentedAccessToken, presentedRefreshToken } from '../credentials.js';
import { Problem } from '../problem.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';
import { requireRecentAuthentication } from '../step-up.js';

const Body = Type.Object(
  {
    scope: Type.Optional(
      Type.Union([Type.Literal('all'), Type.Literal('session'), Type.Literal('others')], {
        default: 'all',
        description: 'Which sessions of the user end: all, the one that asks, or all but that one',
      }),
    ),
    refresh_token: Type.Optional(Type.String({ description: 'When there is no cookie and the access token has expired' })),
  },
  { additionalProperties: false },
);

export function logout(app: App, services: Services): void {
  const { sessions, cookies, report } = services;

  app.post(
    '/logout',
    { config: { needs: 'nothing', bodyIsOptional: true }, schema: { body: Body, response: { 204: Type.Null() } } },
    async (request, reply) => {
      const { scope = 'all', refresh_token } = request.body;
      const asking = await whoLogsOut(request, services, refresh_token);
      const { subject, sessionId } = asking;
      // `all` ends the session that asks too, so a thief gains nothing by it, and whoever fears one must not wait.
      if (scope === 'others') await requireRecentAuthentication(request, asking, services);
      if (scope === 'session') await sessions.revoke(subject, sessionId, 'logged_out');
      else {
        const own = scope === 'all' ? ({ sessionId, reason: 'logged_out' } as const) : { sessionId };
        await sessions.revokeAll(subject, { reason: 'logged_out_elsewhere', own });
      }
      report({ event: 'logout', outcome: 'success', reason: scope, subject, sessionId, address: request.ip });
      if (scope !== 'others') {
        cookies.clear(reply);
        // Chromium stalls for seconds over it (crbug.com/40233601), and it alone sends this header.
        if (request.headers['sec-ch-ua'] === undefined) reply.header('clear-site-data', '"cache"');
      }
      return reply.code(204).send(null);
    },
  );
}

/** The session that asks, by its access token, or by a refresh token that could still be refreshed with. */
async function whoLogsOut(request: FastifyRequest, { sessions, cookies, report }: Services, inBody?: string) {
  const access = presentedAccessToken(request, cookies);
  const refresh = presentedRefreshToken(request, cookies, inBody);
  const principal = access && (await sessions.authenticate(access.token));
  if (principal) return principal;

  const token = refresh && sessions.parseRefreshToken(refresh.token);
  const holder = token && (await sessions.holderOf(token));
  if (!holder) {
    throw access || refresh
      ? new Problem('invalid_token', { headers: challenge('invalid_token') })
      : new Problem('authentication_required', { headers: challenge() });
  }
  const { subject, authenticatedAt, standing } = holder;
  const { sessionId } = token;
  if (standing === 'living') return { subject, sessionId, authenticatedAt };
  await sessions.revokeByToken(token, 'reused');
  report({ event: 'logout', outcome: 'failure', reason: 'reused', subject, sessionId, address: request.ip });
  throw new Problem('reauthentication_required', { reason: 'reused' });
}
