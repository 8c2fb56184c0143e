import formbody from '@fastify/formbody';
import helmet from '@fastify/helmet';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { Type } from '@sinclair/typebox';
import type { FastifyInstance } from 'fastify';
import { html } from 'ghtml';
import { enableCookies } from '../kit/cookies.js';
import { logServerError, toProblem } from '../kit/error-handler.js';
import { assertNeedsDeclared } from '../kit/route.js';
import { rejectCrossSiteRequest } from '../kit/same-origin.js';
import { validatorCompiler } from '../kit/validator.js';
import { addAccountPage } from './account.js';
import { ACCOUNT_PATH, buildContext, findErrorText, type PagesOptions, sendPage } from './context.js';
import { renderLayout, renderNotice } from './layout.js';
import { loadAssets } from './load-assets.js';
import { addLoginPage } from './login.js';
import { addRegisterPage } from './register.js';

export type { Brand } from './layout.js';
export type { PagesOptions } from './context.js';

const FormName = Type.Object({ form: Type.String() });

/** Forbids inline scripts and styles, other origins, and framing. */
const CONTENT_SECURITY_POLICY = {
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    styleSrc: ["'self'"],
    scriptSrc: ["'self'"],
    connectSrc: ["'self'"],
    imgSrc: ["'self'"],
    formAction: ["'self'"],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
  },
};

/** Adds the pages in an encapsulated Fastify instance. They work without JavaScript. */
export async function pageRoutes(
  instance: FastifyInstance,
  optionsWithoutAssets: Omit<PagesOptions, 'assets'>,
): Promise<void> {
  const { services, authPrefix, brand } = optionsWithoutAssets;
  const assets = await loadAssets(authPrefix, { brandStylesheet: brand.stylesheet });
  const options: PagesOptions = { ...optionsWithoutAssets, assets };
  const app = instance.withTypeProvider<TypeBoxTypeProvider>().setValidatorCompiler(validatorCompiler);
  await enableCookies(instance);
  app.removeAllContentTypeParsers();
  await app.register(formbody);
  await app.register(helmet, {
    contentSecurityPolicy: CONTENT_SECURITY_POLICY,
    // With `no-referrer`, browsers would post forms with the origin `null`, which rejectCrossSiteRequest rejects.
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: false,
  });
  app.addHook('onRoute', assertNeedsDeclared);
  // Exclude the pages from the OpenAPI document.
  app.addHook('onRoute', (route) => {
    route.schema = { ...route.schema, hide: true };
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    rejectCrossSiteRequest(request, services);
  });
  app.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error);
    logServerError(error, problem, request, reply);
    const context = buildContext(request, options);
    const { strings } = context;
    const notice = renderNotice('error', findErrorText(strings, problem));
    const content = html`!${notice}<p><a href="${ACCOUNT_PATH}">${strings.goToAccount}</a></p>`;
    return sendPage(
      reply.headers(problem.headers),
      renderLayout(context, strings.somethingWentWrong, content),
      problem.status,
    );
  });

  for (const { path, type, content } of assets.files) {
    app.get(path, { config: { needs: 'nothing' } }, async (_request, reply) =>
      reply.header('cache-control', 'public, max-age=31536000, immutable').type(type).send(content),
    );
  }
  // After a failed submission the address bar shows the form's URL. Opening it again redirects to the page.
  app.get(
    `${authPrefix}/form/:form`,
    { config: { needs: 'nothing' }, schema: { params: FormName } },
    async (request, reply) => {
      const { form } = request.params;
      return reply.redirect(form === 'login' || form === 'register' ? `/${form}` : ACCOUNT_PATH, 303);
    },
  );
  addLoginPage(app, options);
  if (services.users) addRegisterPage(app, options, services.users.registration);
  addAccountPage(app, options);
}
