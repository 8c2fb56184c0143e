import { LatchkeyError } from '../errors.js';
import type { IssuedTokens } from '../sessions/session.js';
import type { AuthEvent, Services } from './services.js';

/** What is known of an attempt before its end; whose it is may come to be known on the way. */
export interface Attempted extends Pick<AuthEvent, 'event' | 'sessionId' | 'address'> {
  subject?: string;
}

/** Runs an attempt and, if it is refused, reports why in the word of the error. */
export async function reportingRefusal<T>(
  { report }: Services,
  attempted: Attempted,
  attempt: () => Promise<T>,
): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof LatchkeyError) report({ ...attempted, outcome: 'failure', reason: error.code });
    throw error;
  }
}

/** What a session that begins reports, beside its own beginning: those that made room for it. */
export function reportEvicted(
  { report }: Pick<Services, 'report'>,
  { principal: { subject }, evicted }: IssuedTokens & { readonly evicted: readonly string[] },
  address: string,
): void {
  for (const sessionId of evicted) report({ event: 'session_end', outcome: 'success', reason: 'evicted', subject, sessionId, address });
}
