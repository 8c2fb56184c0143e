import { Type } from '@sinclair/typebox';
import { requireLocalPath, MAX_PATH_LENGTH } from '../kit/local-path.js';
import { Problem } from '../kit/problem.js';
import { refreshTokens } from '../flows/refresh.js';
import type { App } from '../kit/route.js';
import type { Services } from '../flows/services.js';
import { deliverTokens } from '../kit/token-response.js';

const Query = Type.Object(
  { to: Type.Optional(Type.String({ maxLength: MAX_PATH_LENGTH })) },
  { additionalProperties: false },
);

const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'The path, or the login page with a reason' } },
});

/** For server-rendered pages: refreshes by cookie and redirects to a path of this origin, or else to the login page. */
export function addContinueRoute(app: App, services: Services): void {
  app.get(
    '/continue',
    {
      config: { needs: 'nothing', fails: ['ambiguous_credentials'] },
      schema: { summary: 'Refresh and redirect', querystring: Query, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const to = requireLocalPath(request.query.to ?? '/');
      try {
        const { tokens, ...delivery } = await refreshTokens(request, services);
        deliverTokens(reply, services.cookies, tokens, delivery);
        return reply.redirect(to, 303);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'reauthentication_required') throw error;
        const query = new URLSearchParams({ reason: String(error.extensions.reason), to });
        return reply.redirect(`${services.loginPage}?${query.toString()}`, 303);
      }
    },
  );
}
