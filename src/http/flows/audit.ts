import { LatchkeyError } from '../../errors.js';
import type { IssuedTokens } from '../../sessions/session.js';
import type { DisplacedSessions } from '../../sessions/store.js';
import type { AuthEvent, Services } from './services.js';

/** What is known of an attempt before its end; whose it is may come to be known on the way. */
export interface AttemptDetails extends Pick<AuthEvent, 'event' | 'sessionId' | 'address'> {
  subject?: string;
}

/** Runs an attempt and, if it is refused, reports why in the word of the error. */
export async function reportIfRefused<T>(
  { report }: Services,
  attempted: AttemptDetails,
  attempt: () => Promise<T>,
): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof LatchkeyError) report({ ...attempted, outcome: 'failure', reason: error.code });
    throw error;
  }
}

/** Reports the sessions that ended as one began. */
export function reportDisplacedSessions(
  { report }: Pick<Services, 'report'>,
  { principal: { subject }, ...ended }: IssuedTokens & DisplacedSessions,
  address: string,
): void {
  for (const reason of ['superseded', 'evicted'] as const) {
    for (const sessionId of ended[reason])
      report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, address });
  }
}
