import type { onRequestHookHandler } from 'fastify';

/**
 * Headers of every response that is not a page: no caching, no content sniffing, no scripts, no framing, no referrer.
 */
export const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const;

/** For a service whose origins are all https. `includeSubDomains` is left to the owner of the domain. */
export const HSTS_HEADER = { 'strict-transport-security': 'max-age=31536000' } as const;

/**
 * Creates an `onRequest` hook that sets these headers on every response. It calls `done` instead of returning a
 * promise, which saves one for each request.
 */
export function headersHook(headers: Readonly<Record<string, string>>): onRequestHookHandler {
  return (_request, reply, done) => {
    reply.headers(headers);
    done();
  };
}
