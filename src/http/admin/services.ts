import type { UserDirectory } from '../../identity/directory.js';
import type { SessionStore } from '../../sessions/store.js';
import type { AuthEvent } from '../flows/audit.js';
import type { AdminKeys } from './keys.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Name of the API key that this request was sent with. */
    adminKey: string;
  }
}

/** Dependencies of the admin routes. */
export interface AdminServices {
  readonly sessions: Pick<SessionStore, 'issue' | 'list' | 'get' | 'update' | 'revoke' | 'revokeAll'>;
  readonly users: UserDirectory;
  readonly adminKeys: AdminKeys;
  readonly report: (event: AuthEvent) => void;
}
