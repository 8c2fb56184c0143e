import { type Static, Type } from '@sinclair/typebox';
import type { Session } from '../../sessions/session.js';
import { toSeconds } from '../kit/token-response.js';

export const SubjectParams = Type.Object({ subject: Type.String() }, { additionalProperties: false });
export const SessionParams = Type.Object(
  { subject: Type.String(), id: Type.String({ maxLength: 64 }) },
  { additionalProperties: false },
);
export const Data = Type.Record(Type.String(), Type.Unknown(), {
  description: "The application's own, at most 2,048 bytes of JSON",
});

/** One session, as operators and back ends see it. Instants are seconds since 1970. */
export const AdminSession = Type.Object(
  {
    id: Type.String(),
    subject: Type.String(),
    username: Type.Optional(Type.String()),
    methods: Type.Array(Type.String()),
    authenticated_at: Type.Integer(),
    client_id: Type.Optional(Type.String()),
    scope: Type.Optional(Type.String()),
    data: Type.Optional(Data),
    device: Type.String(),
    address: Type.String({ description: 'The network address of the last renewal' }),
    created_at: Type.Integer(),
    renewed_at: Type.Integer(),
    ends_at: Type.Integer({ description: 'Its absolute end' }),
    generation: Type.Integer({ description: 'How many pairs of tokens it has had' }),
  },
  { additionalProperties: false },
);

export function adminSession(session: Session): Static<typeof AdminSession> {
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
