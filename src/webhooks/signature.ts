import { createHmac } from 'node:crypto';

const SECRET_PREFIX = 'whsec_';

/**
 * Builds the headers that authenticate a message (Standard Webhooks 1.0): HMAC-SHA-256 over `id.timestamp.body`,
 * once with each secret, so that a secret can be replaced while receivers still use the old one.
 *
 * @param secrets each `whsec_` followed by base64
 * @param message.timestamp the time of this attempt, in seconds since the Unix epoch
 */
export function signatureHeaders(
  secrets: readonly string[],
  { id, timestamp, body }: { id: string; timestamp: number; body: string },
): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': signatures.join(' ') };
}
