import type { onRequestHookHandler } from 'fastify';

/** What protects an answer that is not a page, whatever it says: it is kept nowhere, is what it says it is, and runs and frames nothing. */
export const PROTECTIVE_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const;

/** For a service whose every origin is https. Whether it holds for subdomains too is for whoever owns them to say. */
export const STRICT_TRANSPORT = { 'strict-transport-security': 'max-age=31536000' } as const;

/** Makes the hook that gives every answer these headers, with no promise for it. */
export function headersHook(headers: Readonly<Record<string, string>>): onRequestHookHandler {
  return (_request, reply, done) => {
    reply.headers(headers);
    done();
  };
}
