import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parseBearer } from '../kit/presented-tokens.js';
import { Problem } from '../kit/problem.js';
import { type AdminScope, assertNeedsDeclared } from '../kit/route.js';
import { validatorCompiler } from '../kit/validator.js';
import type { AdminServices } from './services.js';
import { addSessionRoutes } from './sessions.js';
import { addSubjectRoutes } from './subjects.js';
import { addUserRoutes } from './users.js';

/** Adds the admin routes in an encapsulated Fastify instance. Each route declares the scope that it requires. */
export async function adminRoutes(instance: FastifyInstance, services: AdminServices): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  app.decorateRequest('adminKey', '');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));

  app.addHook('onRoute', assertNeedsDeclared);
  app.addHook('onRequest', async (request) => {
    request.adminKey = authenticateAdmin(request, services);
  });

  addSessionRoutes(app, services);
  addSubjectRoutes(app, services);
  addUserRoutes(app, services);
}

/**
 * Checks the API key of a request against the scope that its route needs. Returns the name of the key.
 *
 * @throws {Problem} `admin_key_required` if no known key was sent, `admin_scope_required` if the key lacks the scope.
 */
function authenticateAdmin(request: FastifyRequest, { adminKeys, report }: AdminServices): string {
  const presented = parseBearer(request.headers.authorization);
  const key = presented === undefined ? undefined : adminKeys.find(presented);
  if (!key) {
    if (presented !== undefined)
      report({ event: 'admin_access', outcome: 'failure', reason: 'unknown_key', address: request.ip });
    throw new Problem('admin_key_required', { headers: { 'www-authenticate': 'Bearer realm="latchkey admin"' } });
  }
  const needed = request.routeOptions.config.needs as AdminScope;
  if (!key.scopes.includes(needed)) {
    const challenge = `Bearer realm="latchkey admin", error="insufficient_scope", scope="${needed}"`;
    throw new Problem('admin_scope_required', {
      detail: `The API key needs the scope ${needed}.`,
      headers: { 'www-authenticate': challenge },
    });
  }
  return key.name;
}
