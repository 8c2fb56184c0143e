import { Type } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../sessions/session.js';
import { changePassword } from '../flows/change-password.js';
import { requireFreshAuthentication, requireRecentAuthentication } from '../flows/guards.js';
import { logout } from '../flows/logout.js';
import { providerLoginOf } from '../flows/sessions-from-provider.js';
import { unlinkAccount } from '../flows/unlink.js';
import { toProblem } from '../kit/error-handler.js';
import { Problem } from '../kit/problem.js';
import type { App } from '../kit/route.js';
import { deliverTokens } from '../kit/token-response.js';
import { renderAccountPage, renderLoggedOutPage } from './account-page.js';
import { ACCOUNT_PATH, buildContext, findErrorText, findText, type PagesOptions, sendPage } from './context.js';
import type { ProviderButton } from './credentials-pages.js';
import {
  findCurrentUser,
  redirectToAuthenticate,
  redirectToContinue,
  redirectToLogin,
  requireCurrentUser,
} from './current-user.js';

const Query = Type.Object({ done: Type.Optional(Type.String()) });
const LogoutForm = Type.Object(
  { scope: Type.Union([Type.Literal('all'), Type.Literal('session'), Type.Literal('others')]) },
  { additionalProperties: false },
);
const LinkParams = Type.Object({ provider: Type.String() });
const EndForm = Type.Object({ session: Type.String({ maxLength: 64 }) }, { additionalProperties: false });
const UnlinkForm = Type.Object({ link: Type.String({ maxLength: 64 }) }, { additionalProperties: false });
const PasswordForm = Type.Object(
  { username: Type.Optional(Type.String()), current_password: Type.String(), new_password: Type.String() },
  { additionalProperties: false },
);

/** Adds the account page and its forms: log out, end a session, link and unlink an account, change the password. */
export function addAccountPage(app: App, options: PagesOptions): void {
  const { services, authPrefix, passwordMinLength, providers } = options;
  const { sessions, users, links, cookies, report } = services;

  const sendAccountPage = async (
    request: FastifyRequest,
    reply: FastifyReply,
    { subject, sessionId: currentSessionId, username: name = subject }: Principal,
    { status, ...page }: { info?: string | undefined; error?: string; status?: number },
  ) => {
    const [active, endings, linked = []] = await Promise.all([
      sessions.list(subject),
      sessions.listEndedSessions(subject),
      links?.list(subject),
    ]);
    const minimumLength = users && passwordMinLength;
    return sendPage(
      reply,
      renderAccountPage(buildContext(request, options), {
        ...page,
        name,
        currentSessionId,
        sessions: active,
        endings,
        minimumLength,
        providers,
        links: linked,
      }),
      status,
    );
  };

  app.get(ACCOUNT_PATH, { config: { needs: 'nothing' }, schema: { querystring: Query } }, async (request, reply) => {
    const principal = await findCurrentUser(request, services);
    // The refresh cookie is not sent to this path. `/auth/continue` refreshes the session and redirects back, or
    // redirects to the login page with the reason.
    if (!principal) return redirectToContinue(reply, options, request.url);
    return sendAccountPage(request, reply, principal, {
      info: findText(buildContext(request, options).strings.done, request.query.done),
    });
  });

  app.post(
    `${authPrefix}/form/logout`,
    { config: { needs: 'nothing' }, schema: { body: LogoutForm } },
    async (request, reply) => {
      const { scope } = request.body;
      try {
        const { data } = await logout(request, reply, services, { scope });
        if (scope === 'others') return reply.redirect(`${ACCOUNT_PATH}?done=others_ended`, 303);
        cookies.markLoggedOut(reply);
        const { provider: name, sid } = providerLoginOf(data);
        const provider = providers.find((each) => each.name === name);
        return provider
          ? sendProviderLogoutPage(request, reply, provider, sid)
          : redirectToLogin(reply, services, 'logged_out');
      } catch (error) {
        const redirect = redirectToAuthenticate(reply, options, toProblem(error));
        if (!redirect) throw error;
        return redirect;
      }
    },
  );

  app.post(`${authPrefix}/form/end`, { config: { needs: 'nothing' }, schema: { body: EndForm } }, (request, reply) =>
    runAccountAction(request, reply, async (principal) => {
      const { subject } = principal;
      const { session: sessionId } = request.body;
      await requireRecentAuthentication(request, principal, services);
      const reason = 'logged_out_elsewhere';
      if (!(await sessions.revoke(subject, sessionId, reason))) throw new Problem('not_found');
      report({ event: 'session_end', outcome: 'success', reason, subject, sessionId, address: request.ip });
      return reply.redirect(`${ACCOUNT_PATH}?done=session_ended`, 303);
    }),
  );

  app.get(
    `${authPrefix}/link/:provider`,
    { config: { needs: 'nothing' }, schema: { params: LinkParams } },
    async (request, reply) => {
      const provider = providers.find(({ name }) => name === request.params.provider);
      if (!provider) return reply.callNotFound();
      const returnTo = `${authPrefix}/link/${encodeURIComponent(provider.name)}`;
      return runAccountAction(
        request,
        reply,
        async (principal) => {
          await requireFreshAuthentication(request, principal, services);
          return reply.redirect(
            `${provider.href}?${new URLSearchParams({ link: '1', to: `${ACCOUNT_PATH}?done=linked` }).toString()}`,
            303,
          );
        },
        returnTo,
      );
    },
  );

  if (links) {
    app.post(
      `${authPrefix}/form/unlink`,
      { config: { needs: 'nothing' }, schema: { body: UnlinkForm } },
      (request, reply) =>
        runAccountAction(request, reply, async (principal) => {
          await requireFreshAuthentication(request, principal, services);
          await unlinkAccount(request, services, links, { principal, id: request.body.link });
          return reply.redirect(`${ACCOUNT_PATH}?done=unlinked`, 303);
        }),
    );
  }

  if (users) {
    app.post(
      `${authPrefix}/form/password`,
      { config: { needs: 'nothing' }, schema: { body: PasswordForm } },
      (request, reply) =>
        runAccountAction(request, reply, async (principal) => {
          const { current_password: currentPassword, new_password: newPassword } = request.body;
          await requireRecentAuthentication(request, principal, services);
          const tokens = await changePassword(request, reply, services, users, {
            principal,
            currentPassword,
            newPassword,
          });
          deliverTokens(reply, cookies, tokens, { transport: 'cookie' });
          return reply.redirect(`${ACCOUNT_PATH}?done=password_changed`, 303);
        }),
    );
  }

  /**
   * Sends a page that redirects to the provider's logout, because `form-action` forbids redirecting a form submission
   * to another site.
   */
  function sendProviderLogoutPage(
    request: FastifyRequest,
    reply: FastifyReply,
    { name, href: start }: ProviderButton,
    sid: string | undefined,
  ) {
    const href = `${start}/logout${sid === undefined ? '' : `?${new URLSearchParams({ sid }).toString()}`}`;
    return sendPage(
      reply.header('refresh', `0;url=${href}`),
      renderLoggedOutPage(buildContext(request, options), { provider: name, href }),
    );
  }

  /**
   * Runs an action of the account page. Shows failures on that page, and redirects users who must log in first, with
   * `returnTo` as the return path.
   */
  async function runAccountAction(
    request: FastifyRequest,
    reply: FastifyReply,
    action: (principal: Principal) => Promise<FastifyReply>,
    returnTo = ACCOUNT_PATH,
  ) {
    let principal: Principal | undefined;
    try {
      principal = await requireCurrentUser(request, reply, services);
      return await action(principal);
    } catch (error) {
      const problem = toProblem(error);
      const redirect = redirectToAuthenticate(reply, options, problem, returnTo);
      if (redirect) return redirect;
      if (!principal || problem.status >= 500) throw error;
      const { strings } = buildContext(request, options);
      const text =
        problem.code === 'invalid_credentials' ? strings.errors.wrong_password : findErrorText(strings, problem);
      return sendAccountPage(request, reply.headers(problem.headers), principal, {
        error: text,
        status: problem.status,
      });
    }
  }
}
