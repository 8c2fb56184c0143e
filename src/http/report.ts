import { LatchkeyError } from '../errors.js';
import type { AuthEvent, Services } from './services.js';

/** Runs an attempt and, if it is refused, reports why in the word of the error. */
export async function reportingRefusal<T>(
  { report }: Services,
  attempted: Pick<AuthEvent, 'event' | 'subject' | 'sessionId' | 'address'>,
  attempt: () => Promise<T>,
): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof LatchkeyError) report({ ...attempted, outcome: 'failure', reason: error.code });
    throw error;
  }
}
