import { Type } from '@sinclair/typebox';
import { refreshTokens } from '../flows/refresh.js';
import type { Services } from '../flows/services.js';
import { MAX_PATH_LENGTH, requireLocalPath } from '../kit/local-path.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { deliverTokens } from '../kit/token-response.js';

const Query = Type.Object(
  { to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })) },
  { additionalProperties: false },
);

const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'The requested path, or the login page with a `reason`' } },
});

/**
 * For server-rendered pages: refreshes the session by its cookie and redirects to a path on this site; if the session
 * cannot be refreshed, redirects to the login page.
 */
export function addContinueRoute(app: App, services: Services): void {
  app.get(
    '/continue',
    {
      config: { needs: 'nothing', fails: ['ambiguous_credentials'] },
      schema: { summary: 'Refresh and redirect', querystring: Query, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const returnTo = requireLocalPath(request.query.to ?? '/');
      try {
        const { tokens, ...delivery } = await refreshTokens(request, services);
        deliverTokens(reply, services.cookies, tokens, delivery);
        return reply.redirect(returnTo, 303);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'reauthentication_required') throw error;
        const query = new URLSearchParams({ reason: String(error.extensions.reason), to: returnTo });
        return reply.redirect(`${services.loginPage}?${query.toString()}`, 303);
      }
    },
  );
}
