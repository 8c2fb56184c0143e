import { html } from 'ghtml';
import { type PageContext, renderLayout, renderNotice } from './layout.js';

/** A provider that users can log in with. */
export interface ProviderButton {
  readonly name: string;
  /** Where a login with this provider starts. */
  readonly href: string;
}

/** Contents of a page with a username and password form. */
export interface CredentialsPage {
  readonly error?: string | undefined;
  readonly info?: string | undefined;
  readonly username?: string | undefined;
  /** Whether the error is about the username; if so, that field gets the focus instead of the password. */
  readonly usernameIsWrong?: boolean;
  /** Local path to continue to afterwards. */
  readonly returnTo?: string | undefined;
  /** Whether to force a new login at the provider (`prompt=login`). */
  readonly reauthenticate?: boolean;
}

export function renderLoginPage(
  context: PageContext,
  page: CredentialsPage & { readonly providers: readonly ProviderButton[]; readonly registration: boolean },
): string {
  const { strings, authPrefix } = context;
  const focus = renderFocus('password', page);
  const registration = html`<p class="aside">${strings.noAccount} <a href="/register">${strings.register}</a></p>`;
  const buttons = page.providers.map(
    ({ name, href }) => html`<a class="button" href="${addLoginQuery(href, page)}">${strings.loginWith(name)}</a>`,
  );
  return renderLayout(
    context,
    strings.login,
    html`!${renderNotice('info', page.info)}!${renderNotice('error', page.error)}
<form method="post" action="${authPrefix}/form/login">
!${renderReturnToField(page.returnTo)}
!${renderUsernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required !${focus}>
<button>${strings.login}</button>
</form>
!${buttons.join('')}
!${page.registration ? registration : ''}`,
  );
}

export function renderRegisterPage(
  context: PageContext,
  page: CredentialsPage & { readonly minimumLength: number },
): string {
  const { strings, authPrefix } = context;
  const focus = renderFocus('password', page, 'password-hint');
  const minimum = html`minlength="${page.minimumLength}"`;
  return renderLayout(
    context,
    strings.register,
    html`!${renderNotice('error', page.error)}
<form method="post" action="${authPrefix}/form/register">
!${renderUsernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="new-password" !${minimum} required !${focus}>
<p id="password-hint" class="hint">${strings.passwordHint(page.minimumLength)}</p>
<button>${strings.register}</button>
</form>
<p class="aside">${strings.haveAccount} <a href="/login">${strings.login}</a></p>`,
  );
}

function renderUsernameField({ strings }: PageContext, page: CredentialsPage): string {
  const input = html`autocomplete="username" autocapitalize="none" spellcheck="false" required`;
  return html`<label for="username">${strings.username}</label>
<input id="username" name="username" value="${page.username ?? ''}" !${input} !${renderFocus('username', page)}>`;
}

/** Renders `autofocus` for the next field to fill in, and `aria-describedby` so that messages are read out. */
function renderFocus(
  field: 'username' | 'password',
  { error, info, username, usernameIsWrong }: CredentialsPage,
  hint?: string,
): string {
  const hasFocus = field === (username === undefined || usernameIsWrong ? 'username' : 'password');
  const message = hasFocus && (error === undefined ? info && 'info' : 'error');
  const descriptions = [message, hint].filter(Boolean).join(' ');
  return [hasFocus && 'autofocus', descriptions !== '' && `aria-describedby="${descriptions}"`]
    .filter(Boolean)
    .join(' ');
}

function addLoginQuery(href: string, { returnTo, reauthenticate }: CredentialsPage): string {
  const query = new URLSearchParams({
    ...(returnTo !== undefined && { to: returnTo }),
    ...(reauthenticate && { prompt: 'login' }),
  }).toString();
  return query === '' ? href : `${href}?${query}`;
}

function renderReturnToField(returnTo: string | undefined): string {
  return returnTo === undefined ? '' : html`<input type="hidden" name="to" value="${returnTo}">`;
}
