import bowser from 'bowser';
import type { FastifyRequest } from 'fastify';
import type { RequestSource } from '../../sessions/session.js';

/** In characters. */
const MAX_USER_AGENT_LENGTH = 512;
/** In characters. */
const MAX_LABEL_LENGTH = 64;

/**
 * Describes the source of a request: a readable label of the device, such as `Firefox 140 · Linux`, and the
 * network address.
 */
export function requestSource(request: FastifyRequest): RequestSource {
  return { device: deviceLabel(request.headers['user-agent'] ?? ''), address: request.ip };
}

function deviceLabel(userAgent: string): string {
  const text = userAgent.slice(0, MAX_USER_AGENT_LENGTH);
  if (text.trim() === '') return 'unknown';
  const { browser, os } = bowser.parse(text);
  const browserLabel = browser.name
    ? [browser.name, browser.version?.split('.')[0]].filter(Boolean).join(' ')
    : (/^[\w.-]+(\/\d+)?/.exec(text)?.[0].replace('/', ' ') ?? 'unknown');
  return [browserLabel, os.name].filter(Boolean).join(' · ').slice(0, MAX_LABEL_LENGTH);
}
