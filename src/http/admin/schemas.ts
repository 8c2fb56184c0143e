import { type Static, Type } from '@sinclair/typebox';
import type { Session } from '../../sessions/session.js';
import { toSeconds } from '../kit/token-response.js';

export const SubjectParams = Type.Object({ subject: Type.String() }, { additionalProperties: false });

export const SessionData = Type.Record(Type.String(), Type.Unknown(), {
  description: "The application's own data: at most 2,048 bytes of JSON",
});

export const SessionReply = Type.Object(
  {
    id: Type.String(),
    subject: Type.String(),
    username: Type.Optional(Type.String()),
    methods: Type.Array(Type.String()),
    authenticated_at: Type.Integer(),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    data: Type.Optional(SessionData),
    device: Type.String(),
    address: Type.String({ description: 'Network address at the last refresh' }),
    created_at: Type.Integer(),
    renewed_at: Type.Integer(),
    ends_at: Type.Integer({ description: 'When its absolute lifetime ends' }),
    generation: Type.Integer({ description: 'Number of token pairs issued so far' }),
  },
  { additionalProperties: false },
);

/** A session as the admin API shows it. Instants are seconds since 1970. */
export function toSessionReply(session: Session): Static<typeof SessionReply> {
  const { sessionId, subject, username, methods, client, scope, data, device, address, generation } = session;
  return {
    id: sessionId,
    subject,
    ...(username !== undefined && { username }),
    methods: [...methods],
    authenticated_at: toSeconds(session.authenticatedAt),
    ...(client !== undefined && { client_id: client }),
    ...(scope !== undefined && { scope }),
    ...(data !== undefined && { data }),
    device,
    address,
    created_at: toSeconds(session.createdAt),
    renewed_at: toSeconds(session.renewedAt),
    ends_at: toSeconds(session.endsAt),
    generation,
  };
}
