import { digestAdminKey, generateAdminKey } from '../../../src/http/admin/keys.js';
import type { AuthEvent } from '../../../src/http/flows/audit.js';
import { ADMIN_SCOPES } from '../../../src/http/kit/route.js';
import { startService } from '../../support/service.js';

/** Starts the service with an admin API, and two keys: one with every scope and one that only reads. */
export async function startAdmin() {
  const all = generateAdminKey();
  const reading = generateAdminKey();
  const events: AuthEvent[] = [];
  const service = await startService(
    {
      adminKeys: [
        { name: 'reading', digest: digestAdminKey(reading), scopes: ['sessions:read', 'users:read'] },
        { name: 'all', digest: digestAdminKey(all), scopes: ADMIN_SCOPES },
      ],
    },
    { onEvent: (event) => events.push(event) },
  );
  const { internal } = service;

  /** Sends a request to the admin API. */
  const ask = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, payload?: object, key = all) =>
    internal.inject({
      method,
      url: `/admin${path}`,
      headers: { authorization: `Bearer ${key}` },
      ...(payload && { payload }),
    });

  const sessionsOf = (subject: string) => `/subjects/${encodeURIComponent(subject)}/sessions`;
  return { ...service, all, reading, events, ask, sessionsOf };
}
