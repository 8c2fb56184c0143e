import type { EndedReason, SessionData } from '../../sessions/session.js';
import type { Services } from './services.js';

/** The login with an OpenID Connect provider that a session began with, as its data keeps it under `oidc`. */
export interface ProviderLogin {
  /** The provider's name here. */
  readonly provider: string;
  /** The session there (OpenID Connect Back-Channel Logout 1.0 section 2.1). */
  readonly sid?: string;
  /** How strongly the user logged in there (OpenID Connect Core 1.0 section 2). */
  readonly acr?: string;
}

/** Data may be the application's own too: only what has the right shape is taken. */
export function providerLoginOf(data: SessionData | undefined): Partial<ProviderLogin> {
  const { provider, sid, acr } = (data?.oidc ?? {}) as { readonly [name: string]: unknown };
  return {
    ...(typeof provider === 'string' && { provider }),
    ...(typeof sid === 'string' && { sid }),
    ...(typeof acr === 'string' && { acr }),
  };
}

/** Ends the sessions of a subject that began with a provider: all, or those of one session there; but for one that is spared. */
export async function endSessionsBegunAt(
  provider: string,
  subject: string,
  { sessions, report }: Pick<Services, 'sessions' | 'report'>,
  {
    sid,
    spared,
    reason,
    ...who
  }: { sid?: string | undefined; spared?: string; reason: EndedReason; actor?: string; address: string },
): Promise<void> {
  for (const { sessionId, data } of await sessions.list(subject)) {
    const began = providerLoginOf(data);
    if (began.provider !== provider || (sid !== undefined && began.sid !== sid) || sessionId === spared) continue;
    await sessions.revoke(subject, sessionId, reason);
    report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, ...who });
  }
}
