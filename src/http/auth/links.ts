import { Type } from '@sinclair/typebox';
import type { AccountLinks } from '../../federation/links.js';
import { requireFreshAuthentication } from '../flows/guards.js';
import type { Services } from '../flows/services.js';
import { unlinkAccount } from '../flows/unlink.js';
import type { App } from '../kit/route.js';
import { Timestamp, toSeconds } from '../kit/token-response.js';

const Link = Type.Object({
  id: Type.String(),
  provider: Type.String({ description: 'The configured name of the provider' }),
  linked_at: Timestamp('When the account was linked'),
});
const Params = Type.Object({ id: Type.String({ maxLength: 64 }) }, { additionalProperties: false });

/** Adds the routes that list and unlink the provider accounts that a user can log in with. */
export function addLinkRoutes(app: App, services: Services, links: AccountLinks): void {
  app.get(
    '/links',
    {
      config: { needs: 'user-session' },
      schema: { summary: 'List my linked accounts', response: { 200: Type.Object({ links: Type.Array(Link) }) } },
    },
    async (request) => {
      const linked = await links.list(request.principal!.subject);
      return { links: linked.map(({ id, provider, linkedAt }) => ({ id, provider, linked_at: toSeconds(linkedAt) })) };
    },
  );

  app.delete(
    '/links/:id',
    {
      config: { needs: 'user-session', fails: ['insufficient_user_authentication', 'last_login_method', 'not_found'] },
      schema: {
        summary: 'Unlink an account',
        description:
          "Also ends the user's other sessions that were started with this provider. " +
          'Requires a login within the last two minutes.',
        params: Params,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const principal = request.principal!;
      await requireFreshAuthentication(request, principal, services);
      await unlinkAccount(request, services, links, { principal, id: request.params.id });
      return reply.code(204).send(null);
    },
  );
}
