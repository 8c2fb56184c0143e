import { LatchkeyError } from '../../errors.js';
import type { DisplacedSessions, IssuedTokens } from '../../sessions/session.js';
import type { WebhookEvent } from '../../webhooks/webhooks.js';

/** Something that happened to a session or a user, for logs and audits. It never contains a token or a password. */
export interface AuthEvent {
  readonly event:
    | 'register'
    | 'login'
    | 'account_link'
    | 'account_unlink'
    | 'refresh'
    | 'logout'
    | 'session_end'
    /** An administrator issued a session. */
    | 'session_mint'
    | 'session_update'
    | 'disable'
    | 'enable'
    | 'admin_access'
    | 'password_change'
    /** An action was refused because it requires a more recent login; always a failure. */
    | 'step_up';
  readonly outcome: 'success' | 'failure' | 'suspicious';
  readonly reason?: string;
  readonly subject?: string;
  readonly sessionId?: string;
  /** The name of the API key or provider that caused the event, if it was not the user. */
  readonly actor?: string;
  readonly address: string;
}

/** Receives every authentication event. */
export interface Reporter {
  readonly report: (event: AuthEvent) => void;
}

/** What is known about an attempt before it succeeds or fails. */
export type AttemptDetails = Pick<AuthEvent, 'event' | 'subject' | 'sessionId' | 'address'>;

/** Runs an attempt. If it throws, reports the failure with the error's code as its reason, and rethrows. */
export async function reportFailure<T>(
  { report }: Reporter,
  details: AttemptDetails,
  attempt: () => Promise<T>,
): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof LatchkeyError) report({ ...details, outcome: 'failure', reason: error.code });
    throw error;
  }
}

/** Reports the sessions that a new session ended. */
export function reportDisplacedSessions(
  { report }: Reporter,
  { principal: { subject }, ...ended }: IssuedTokens & DisplacedSessions,
  address: string,
): void {
  for (const reason of ['superseded', 'evicted'] as const) {
    for (const sessionId of ended[reason])
      report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, address });
  }
}

/**
 * Reasons of failures that are frequent under overload. They are logged, but not sent as webhooks, where they would
 * displace more important events.
 */
const NOT_SENT_TO_WEBHOOKS = ['too_many_requests', 'unavailable'];

/** Converts an event to one for webhooks, with a type such as `login.success`; undefined if it is not sent to them. */
export function toWebhookEvent({ event, outcome, sessionId, ...rest }: AuthEvent): WebhookEvent | undefined {
  if (outcome === 'failure' && NOT_SENT_TO_WEBHOOKS.includes(rest.reason!)) return undefined;
  return { type: `${event}.${outcome}`, data: { ...rest, ...(sessionId !== undefined && { session_id: sessionId }) } };
}
