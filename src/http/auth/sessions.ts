import { Type } from '@sinclair/typebox';
import { requireRecentAuthentication } from '../flows/guards.js';
import type { Services } from '../flows/services.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { SessionBody, Timestamp, toSeconds, toSessionBody } from '../kit/token-response.js';

const SessionItem = Type.Object({
  id: Type.String(),
  current: Type.Boolean({ description: 'Whether this is the current session' }),
  device: Type.String(),
  address: Type.String({ description: 'The network address of the last refresh, or of the login' }),
  methods: Type.Array(Type.String()),
  authenticated_at: Timestamp('When the user last authenticated'),
  created_at: Timestamp('When the session started'),
  renewed_at: Timestamp('When the session was last refreshed, or started if it never was'),
  ends_at: Timestamp('When the absolute lifetime of the session ends'),
});
const Params = Type.Object({ id: Type.String({ maxLength: 64 }) }, { additionalProperties: false });

/** Separate from {@link addSessionRoutes}, because it is the busiest route and writes no cookies. */
export function addCurrentSessionRoute(app: App): void {
  app.get(
    '/session',
    { config: { needs: 'session' }, schema: { summary: 'Get my session', response: { 200: SessionBody } } },
    (request, reply) => {
      reply.send(toSessionBody(request.principal!));
    },
  );
}

export function addSessionRoutes(app: App, services: Services): void {
  const { sessions, cookies, report } = services;

  app.get(
    '/sessions',
    {
      config: { needs: 'user-session' },
      schema: { summary: 'List my sessions', response: { 200: Type.Object({ sessions: Type.Array(SessionItem) }) } },
    },
    async (request) => {
      const { subject, sessionId: currentSessionId } = request.principal!;
      const items = (await sessions.list(subject)).map((session) => ({
        id: session.sessionId,
        current: session.sessionId === currentSessionId,
        device: session.device,
        address: session.address,
        methods: [...session.methods],
        authenticated_at: toSeconds(session.authenticatedAt),
        created_at: toSeconds(session.createdAt),
        renewed_at: toSeconds(session.renewedAt),
        ends_at: toSeconds(session.endsAt),
      }));
      return { sessions: items };
    },
  );

  app.delete(
    '/sessions/:id',
    {
      config: { needs: 'user-session', fails: ['insufficient_user_authentication', 'not_found'] },
      schema: { summary: 'End one of my sessions', params: Params, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      const principal = request.principal!;
      const { subject, sessionId: currentSessionId } = principal;
      const { id } = request.params;
      if (id !== currentSessionId) await requireRecentAuthentication(request, principal, services);
      const reason = id === currentSessionId ? 'logged_out' : 'logged_out_elsewhere';
      if (!(await sessions.revoke(subject, id, reason))) throw new Problem('not_found');
      report({ event: 'session_end', outcome: 'success', reason, subject, sessionId: id, address: request.ip });
      if (id === currentSessionId) cookies.clearTokens(reply);
      return reply.code(204).send(null);
    },
  );
}
