import { html } from 'ghtml';
import { layout, notice, type PageContext } from './layout.js';

/** A provider that one can log in with. */
export interface ProviderButton {
  readonly name: string;
  /** Where a login with it begins. */
  readonly href: string;
}

/** What a page with a username and a password says beside them. */
export interface CredentialsPage {
  readonly error?: string | undefined;
  readonly info?: string | undefined;
  readonly username?: string | undefined;
  /** Whether the error is about the username; otherwise the password is typed again. */
  readonly usernameIsWrong?: boolean;
  /** Where to go on afterwards. */
  readonly to?: string | undefined;
  /** Whether a login at a provider that was some time ago is not enough. */
  readonly again?: boolean;
}

export function renderLoginPage(
  context: PageContext,
  page: CredentialsPage & { readonly providers: readonly ProviderButton[]; readonly registration: boolean },
): string {
  const { strings, base } = context;
  const buttons = page.providers.map(
    ({ name, href }) => html`<a class="button" href="${beginning(href, page)}">${strings.loginWith(name)}</a>`,
  );
  return layout(
    context,
    strings.login,
    html`!${notice('info', page.info)}!${notice('error', page.error)}
<form method="post" action="${base}/form/login">
!${hiddenTo(page.to)}
!${usernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required !${focus('password', page)}>
<button>${strings.login}</button>
</form>
!${buttons.join('')}
!${page.registration ? html`<p class="aside">${strings.noAccount} <a href="/register">${strings.register}</a></p>` : ''}`,
  );
}

export function renderRegisterPage(
  context: PageContext,
  page: CredentialsPage & { readonly minimumLength: number },
): string {
  const { strings, base } = context;
  return layout(
    context,
    strings.register,
    html`!${notice('error', page.error)}
<form method="post" action="${base}/form/register">
!${usernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="${page.minimumLength}" required !${focus('password', page, 'password-hint')}>
<p id="password-hint" class="hint">${strings.passwordHint(page.minimumLength)}</p>
<button>${strings.register}</button>
</form>
<p class="aside">${strings.haveAccount} <a href="/login">${strings.login}</a></p>`,
  );
}

function usernameField({ strings }: PageContext, page: CredentialsPage): string {
  return html`<label for="username">${strings.username}</label>
<input id="username" name="username" value="${page.username ?? ''}" autocomplete="username" autocapitalize="none" spellcheck="false" required !${focus('username', page)}>`;
}

/** The field that is to be filled in has the focus, and is read out together with the page's message. */
function focus(
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

function beginning(href: string, { to, again }: CredentialsPage): string {
  const query = new URLSearchParams({ ...(to !== undefined && { to }), ...(again && { prompt: 'login' }) }).toString();
  return query === '' ? href : `${href}?${query}`;
}

function hiddenTo(to: string | undefined): string {
  return to === undefined ? '' : html`<input type="hidden" name="to" value="${to}">`;
}
