import type { EndedReason, SessionData } from '../../sessions/session.js';
import type { Services } from './services.js';

/** The login with an OpenID Connect provider that a session began with, as the session's data keeps it under `oidc`. */
export interface ProviderLogin {
  /** The provider's name here. */
  readonly provider: string;
  /** The session at the provider (OpenID Connect Back-Channel Logout 1.0 section 2.1). */
  readonly sid?: string;
  /** The authentication context class, how strongly the user logged in (OpenID Connect Core 1.0 section 2). */
  readonly acr?: string;
}

/** Reads `oidc` from session data. The data may be the application's own, so members of another type are ignored. */
export function providerLoginOf(data: SessionData | undefined): Partial<ProviderLogin> {
  const { provider, sid, acr } = (data?.oidc ?? {}) as { readonly [name: string]: unknown };
  return {
    ...(typeof provider === 'string' && { provider }),
    ...(typeof sid === 'string' && { sid }),
    ...(typeof acr === 'string' && { acr }),
  };
}

/** Which sessions {@link endSessionsFromProvider} ends, and what it reports. */
interface Ending {
  /** Ends only the sessions that began with this session at the provider. */
  readonly sid?: string | undefined;
  /** A session that is not ended. */
  readonly exceptSessionId?: string;
  readonly reason: EndedReason;
  /** Who ends them, if it is not the user. */
  readonly actor?: string;
  readonly address: string;
}

/** Ends the sessions of a subject that began with a provider, and reports each. */
export async function endSessionsFromProvider(
  provider: string,
  subject: string,
  { sessions, report }: Pick<Services, 'sessions' | 'report'>,
  { sid, exceptSessionId, reason, ...who }: Ending,
): Promise<void> {
  for (const { sessionId, data } of await sessions.list(subject)) {
    const login = providerLoginOf(data);
    if (login.provider !== provider || sessionId === exceptSessionId) continue;
    if (sid !== undefined && login.sid !== sid) continue;
    await sessions.revoke(subject, sessionId, reason);
    report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, ...who });
  }
}
