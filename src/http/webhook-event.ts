import type { WebhookEvent } from '../webhooks/webhooks.js';
import type { AuthEvent } from './services.js';

/** An authentication event as webhooks tell it: its type is such as `login.success`. */
export function webhookEvent({ event, outcome, sessionId, ...rest }: AuthEvent): WebhookEvent {
  return { type: `${event}.${outcome}`, data: { ...rest, ...(sessionId !== undefined && { session_id: sessionId }) } };
}
