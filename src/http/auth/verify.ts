import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { toProblem, errorHandler } from '../kit/error-handler.js';
import { MAX_PATH_LENGTH, parseLocalPath } from '../kit/local-path.js';
import type { App } from '../kit/route.js';

const Reply = Type.Unsafe<undefined>({
  type: 'null',
  headers: {
    'x-latchkey-subject': { type: 'string', description: 'Whose session it is, percent-encoded' },
    'x-latchkey-session': { type: 'string', description: 'Its id' },
  },
});

const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'For a page: where its reader can go on, or log in' } },
});

/**
 * Forward authentication for reverse proxies. It never rotates: a browser that asks for a page and has no access token
 * that is good is sent to where the refresh token is tried, everyone else is 401. Only a proxy that passes a redirect on
 * names the request that it asks about (`X-Forwarded-Method` and `-Uri`).
 */
export function verifyRoute(app: App): void {
  app.get(
    '/verify',
    {
      config: { needs: 'session' },
      schema: { summary: 'Forward authentication', response: { 200: Reply, 303: Redirect } },
      errorHandler: (error, request, reply) => {
        const page = toProblem(error).status === 401 ? pageAskedFor(request) : undefined;
        if (page === undefined) errorHandler(error, request, reply);
        else reply.redirect(`${app.prefix}/continue?${new URLSearchParams({ to: page }).toString()}`, 303);
      },
    },
    (request, reply) => {
      const { subject, sessionId } = request.principal!;
      reply.header('x-latchkey-subject', encodeURIComponent(subject)).header('x-latchkey-session', sessionId).send();
    },
  );
}

/** The path of the page that a browser navigates to, on whatever host that is, if the proxy says so. */
function pageAskedFor({ raw, headers }: FastifyRequest): string | undefined {
  const { 'x-forwarded-method': method, 'x-forwarded-uri': uri, 'sec-fetch-mode': mode = 'navigate' } = headers;
  if (method !== 'GET' || typeof uri !== 'string' || mode !== 'navigate') return undefined;
  if (new Negotiator(raw).mediaType(['application/json', 'text/html']) !== 'text/html') return undefined;
  const path = parseLocalPath(uri) ?? '/';
  return path.length > MAX_PATH_LENGTH ? '/' : path;
}
