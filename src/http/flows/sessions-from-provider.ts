import type { EndedReason, SessionData } from '../../sessions/session.js';
import type { Services } from './services.js';

/** The login with an OpenID Connect provider that started a session. It is stored in the session's data as `oidc`. */
export interface ProviderLogin {
  /** The configured name of the provider. */
  readonly provider: string;
  /** The session at the provider (OpenID Connect Back-Channel Logout 1.0 section 2.1). */
  readonly sid?: string;
  /**
   * The authentication context class reference: how strongly the user authenticated (OpenID Connect Core 1.0 section
   * 2).
   */
  readonly acr?: string;
}

/** Reads `oidc` from session data. The host application may have written it, so members of another type are ignored. */
export function providerLoginOf(data: SessionData | undefined): Partial<ProviderLogin> {
  const { provider, sid, acr } = (data?.oidc ?? {}) as { readonly [name: string]: unknown };
  return {
    ...(typeof provider === 'string' && { provider }),
    ...(typeof sid === 'string' && { sid }),
    ...(typeof acr === 'string' && { acr }),
  };
}

/** Which sessions {@link endSessionsFromProvider} ends, and what it reports. */
interface EndSessionsOptions {
  /** Ends only the sessions that were started from this session at the provider. */
  readonly sid?: string | undefined;
  /** A session to leave out. */
  readonly exceptSessionId?: string;
  readonly reason: EndedReason;
  /** The name of the provider, if the provider ends the sessions rather than the user. */
  readonly actor?: string;
  readonly address: string;
}

/**
 * Ends the sessions that a subject started with a provider, and reports each. It looks only at the 1,000 sessions that
 * `SessionStore.list` returns.
 */
export async function endSessionsFromProvider(
  provider: string,
  subject: string,
  { sessions, report }: Pick<Services, 'sessions' | 'report'>,
  { sid, exceptSessionId, reason, actor, address }: EndSessionsOptions,
): Promise<void> {
  for (const { sessionId, data } of await sessions.list(subject)) {
    const login = providerLoginOf(data);
    if (login.provider !== provider || sessionId === exceptSessionId) continue;
    if (sid !== undefined && login.sid !== sid) continue;
    await sessions.revoke(subject, sessionId, reason);
    const by = { address, ...(actor !== undefined && { actor }) };
    report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, ...by });
  }
}
