import type { Test } from 'tap';
import type { AuthEvent } from '../../../src/http/flows/audit.js';
import type { AppConfig } from '../../../src/server/apps.js';
import type { IssuedTokens } from '../../../src/sessions/session.js';
import { CLIENT_SECRET, CLIENT_SECRET_HASH } from '../../support/oauth-client.js';
import { startService } from '../../support/service.js';

const secretHash = CLIENT_SECRET_HASH;

export const CONFIDENTIAL = { client_id: 'web', client_secret: CLIENT_SECRET };
export const OTHER = { client_id: 'resource-server', client_secret: CLIENT_SECRET };
export const PUBLIC = { client_id: 'spa' };

/** A service with two confidential clients and a public one. */
export async function startAuthorizationServer(t: Test, overrides: Partial<AppConfig> = {}) {
  const events: AuthEvent[] = [];
  const oauthClients = [
    { id: 'web', secretHash },
    { id: 'resource-server', secretHash },
    { id: 'spa', secretHash: undefined },
  ];
  const service = await startService(
    { oauthClients, redisTimeoutMs: 10_000, ...overrides },
    { onEvent: (event) => events.push(event) },
  );
  t.teardown(service.close);

  return {
    ...service,
    events,
    /** Issues a session to a client, with the scope `read write`. */
    issue: (client: string | undefined = 'web', subject?: string): Promise<IssuedTokens> =>
      service.mint(subject, {
        identity: {
          subject: subject ?? 'subject-1',
          username: 'ada',
          methods: ['pwd', 'otp'],
          scope: 'read write',
          data: { tenant: 'acme' },
          ...(client !== undefined && { client }),
        },
      }),
    /** Posts a form; a string is sent as it is. */
    send: (path: string, form: Record<string, string> | string, headers: Record<string, string> = {}) =>
      service.inject({
        method: 'POST',
        url: path,
        payload: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      }),
  };
}

export function basic(id: string, secret: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

/** Ageing a pair by this much closes it: the grace period is over. */
export const CLOSED_MS = 60_000;

/** Lets `t.rejects` match some fields of an error, whatever its type. */
export function errorLike(fields: object): Error {
  return fields as Error;
}
