import { Type } from '@sinclair/typebox';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import type { Services } from '../flows/services.js';
import { requireRecentAuthentication } from '../flows/guards.js';
import { SessionBody, toSeconds, toSessionBody } from '../kit/token-response.js';

const Device = Type.Object({
  id: Type.String(),
  current: Type.Boolean({ description: 'Whether this is the requesting session' }),
  device: Type.String(),
  address: Type.String({ description: 'The network address of the last refresh' }),
  methods: Type.Array(Type.String()),
  authenticated_at: Type.Integer(),
  created_at: Type.Integer(),
  renewed_at: Type.Integer(),
  ends_at: Type.Integer({ description: 'The end of its absolute lifetime, in seconds since 1970' }),
});
const Params = Type.Object({ id: Type.String({ maxLength: 64 }) }, { additionalProperties: false });

/** Separate from {@link addSessionRoutes}: it is the busiest route, and writes no cookies. */
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
      schema: { summary: 'List my sessions', response: { 200: Type.Object({ sessions: Type.Array(Device) }) } },
    },
    async (request) => {
      const { subject, sessionId: own } = request.principal!;
      const devices = (await sessions.list(subject)).map((session) => ({
        id: session.sessionId,
        current: session.sessionId === own,
        device: session.device,
        address: session.address,
        methods: [...session.methods],
        authenticated_at: toSeconds(session.authenticatedAt),
        created_at: toSeconds(session.createdAt),
        renewed_at: toSeconds(session.renewedAt),
        ends_at: toSeconds(session.endsAt),
      }));
      return { sessions: devices };
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
      const { subject, sessionId: own } = principal;
      const { id } = request.params;
      if (id !== own) await requireRecentAuthentication(request, principal, services);
      const reason = id === own ? 'logged_out' : 'logged_out_elsewhere';
      if (!(await sessions.revoke(subject, id, reason))) throw new Problem('not_found');
      report({ event: 'session_end', outcome: 'success', reason, subject, sessionId: id, address: request.ip });
      if (id === own) cookies.clearTokens(reply);
      return reply.code(204).send(null);
    },
  );
}
