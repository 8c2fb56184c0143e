import { html } from 'ghtml';
import { layout, notice, type PageContext } from './layout.js';

/** A provider that one can log in with. */
export interface ProviderButton {
  readonly name: string;
  readonly href: string;
}

/** What a page with a username and a password says beside them. */
export interface CredentialsPage {
  readonly error?: string | undefined;
  readonly info?: string | undefined;
  readonly username?: string | undefined;
  /** Where to go on afterwards. */
  readonly to?: string | undefined;
}

export function loginPage(
  context: PageContext,
  page: CredentialsPage & { readonly providers: readonly ProviderButton[]; readonly registration: boolean },
): string {
  const { strings, base } = context;
  const buttons = page.providers.map(({ name, href }) => html`<a class="button" href="${href}">${strings.loginWith(name)}</a>`);
  return layout(
    context,
    strings.login,
    html`!${notice('info', page.info)}!${notice('error', page.error)}
<form method="post" action="${base}/form/login">
!${hiddenTo(page.to)}
!${usernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>${strings.login}</button>
</form>
!${buttons.join('')}
!${page.registration ? html`<p>${strings.noAccount} <a href="/register">${strings.register}</a></p>` : ''}`,
  );
}

export function registerPage(context: PageContext, page: CredentialsPage & { readonly minimumLength: number }): string {
  const { strings, base } = context;
  return layout(
    context,
    strings.register,
    html`!${notice('error', page.error)}
<form method="post" action="${base}/form/register">
!${usernameField(context, page)}
<label for="password">${strings.password}</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="${page.minimumLength}" aria-describedby="password-hint" required>
<p id="password-hint" class="hint">${strings.passwordHint(page.minimumLength)}</p>
<button>${strings.register}</button>
</form>
<p>${strings.haveAccount} <a href="/login">${strings.login}</a></p>`,
  );
}

function usernameField({ strings }: PageContext, { username = '', error }: CredentialsPage): string {
  return html`<label for="username">${strings.username}</label>
<input id="username" name="username" value="${username}" autocomplete="username" autocapitalize="none" spellcheck="false" required !${error ? 'aria-invalid="true"' : ''} !${username === '' ? 'autofocus' : ''}>`;
}

function hiddenTo(to: string | undefined): string {
  return to === undefined ? '' : html`<input type="hidden" name="to" value="${to}">`;
}
