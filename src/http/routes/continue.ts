import { Type } from '@sinclair/typebox';
import { localPath } from '../local-path.js';
import { Problem } from '../problem.js';
import { refresh } from '../refresh.js';
import type { App } from '../route.js';
import type { Services } from '../services.js';

/** In characters, of a path to go on to. */
export const LONGEST_PATH = 2048;

const Query = Type.Object({ to: Type.Optional(Type.String({ maxLength: LONGEST_PATH })) }, { additionalProperties: false });

const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'The path, or the login page with the reason' } },
});

/** For pages that the server renders: refreshes by cookie and goes on to a path of ours, or to the login page. */
export function continueTo(app: App, services: Services): void {
  app.get(
    '/continue',
    {
      config: { needs: 'nothing', fails: ['ambiguous_credentials'] },
      schema: { summary: 'Refresh and go on', querystring: Query, response: { 303: Redirect } },
    },
    async (request, reply) => {
      const to = localPath(request.query.to ?? '/');
      try {
        await refresh(request, reply, services);
        return reply.redirect(to, 303);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'reauthentication_required') throw error;
        const query = new URLSearchParams({ reason: String(error.extensions.reason), to });
        return reply.redirect(`${services.loginPage}?${query.toString()}`, 303);
      }
    },
  );
}
