import type { WebhookEvent } from '../../webhooks/webhooks.js';
import type { AuthEvent } from './services.js';

/** What a flood is refused with: so many that they would push out what matters. The log has them. */
const UNTOLD = ['too_many_requests', 'unavailable'];

/** An authentication event as webhooks tell it, if they do: its type is such as `login.success`. */
export function webhookEvent({ event, outcome, sessionId, ...rest }: AuthEvent): WebhookEvent | undefined {
  if (outcome === 'failure' && UNTOLD.includes(rest.reason!)) return undefined;
  return { type: `${event}.${outcome}`, data: { ...rest, ...(sessionId !== undefined && { session_id: sessionId }) } };
}
