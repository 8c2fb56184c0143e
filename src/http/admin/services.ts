import type { Users } from '../../identity/users.js';
import type { SessionStore } from '../../sessions/store.js';
import type { AuthEvent } from '../flows/audit.js';
import type { AdminKeys } from './keys.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The name of the API key that sends this request. */
    adminKey: string;
  }
}

/** What the admin routes stand on. */
export interface AdminServices {
  readonly sessions: Pick<SessionStore, 'issue' | 'list' | 'get' | 'update' | 'revoke' | 'revokeAll'>;
  readonly users: Users;
  readonly adminKeys: AdminKeys;
  readonly report: (event: AuthEvent) => void;
}
