import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { errorHandler, toProblem } from '../kit/error-handler.js';
import { MAX_PATH_LENGTH, parseLocalPath } from '../kit/local-path.js';
import type { App } from '../kit/route.js';

const Verified = Type.Unsafe<undefined>({
  type: 'null',
  headers: {
    'x-latchkey-subject': { type: 'string', description: 'The subject of the session, percent-encoded' },
    'x-latchkey-session': { type: 'string', description: 'The id of the session' },
  },
});

const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: {
    location: {
      type: 'string',
      description: 'For a page: `/continue`, which refreshes the tokens or redirects to the login page',
    },
  },
});

/**
 * Forward authentication for reverse proxies. It never rotates tokens: a browser that requests a page without a valid
 * access token is redirected to `/continue`, which tries its refresh token; all other requests get a 401. It redirects
 * only if the proxy sends `X-Forwarded-Method` and `X-Forwarded-Uri`, because proxies that send these headers also pass
 * redirects on to the browser.
 */
export function addVerifyRoute(app: App): void {
  app.get(
    '/verify',
    {
      config: { needs: 'session' },
      schema: { summary: 'Authenticate a request for a reverse proxy', response: { 200: Verified, 303: Redirect } },
      errorHandler: (error, request, reply) => {
        const page = toProblem(error).status === 401 ? findRequestedPage(request) : undefined;
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

/**
 * Returns the path of the page that a browser requests, according to the proxy's headers; undefined for other requests.
 */
function findRequestedPage({ raw, headers }: FastifyRequest): string | undefined {
  const { 'x-forwarded-method': method, 'x-forwarded-uri': uri, 'sec-fetch-mode': mode = 'navigate' } = headers;
  if (method !== 'GET' || typeof uri !== 'string' || mode !== 'navigate') return undefined;
  if (new Negotiator(raw).mediaType(['application/json', 'text/html']) !== 'text/html') return undefined;
  const path = parseLocalPath(uri) ?? '/';
  return path.length > MAX_PATH_LENGTH ? '/' : path;
}
