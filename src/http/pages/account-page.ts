import { html } from 'ghtml';
import type { Link } from '../../federation/links.js';
import type { Ending, Session } from '../../sessions/session.js';
import type { ProviderButton } from './credentials-pages.js';
import { layout, notice, type PageContext } from './layout.js';

export interface AccountPage {
  /** The user's name, or the subject where there is none. */
  readonly name: string;
  readonly own: string;
  readonly sessions: readonly Session[];
  readonly endings: readonly Ending[];
  /** How many characters a new password has at least; undefined where the password is not ours to change. */
  readonly minimumLength: number | undefined;
  /** Those where an account can be linked. */
  readonly providers: readonly ProviderButton[];
  /** Those that are. */
  readonly links: readonly Link[];
  readonly info?: string | undefined;
  readonly error?: string | undefined;
}

export function renderAccountPage(context: PageContext, page: AccountPage): string {
  const { strings, base, loginPage } = context;
  const others = page.sessions.filter(({ sessionId }) => sessionId !== page.own);
  const own = page.sessions.filter(({ sessionId }) => sessionId === page.own);
  return layout(
    context,
    strings.account,
    html`!${notice('info', page.info)}!${notice('error', page.error)}
<div class="who" data-login="${loginPage}">
<p>${strings.signedInAs} <strong>${page.name}</strong></p>
<form method="post" action="${base}/form/logout"><button class="quiet" name="scope" value="session">${strings.logOut}</button></form>
</div>
<section aria-labelledby="devices">
<h2 id="devices">${strings.devices}</h2>
<ul class="devices">
!${own.map((session) => device(context, session, html`<span class="here">${strings.thisDevice}</span>`)).join('')}
!${others.map((session) => device(context, session, endButton(context, session))).join('')}
</ul>
!${others.length === 0 ? html`<p class="hint">${strings.noOthers}</p>` : endButtons(context)}
</section>
!${page.minimumLength === undefined ? '' : passwordSection(context, page.name, page.minimumLength)}
!${page.providers.length === 0 ? '' : linksSection(context, page)}
!${page.endings.length === 0 ? '' : endingsSection(context, page.endings)}`,
  );
}

function device(context: PageContext, session: Session, action: string): string {
  const { strings } = context;
  return html`<li><div><span class="device">${labelOf(context, session.device)}</span>
<span class="hint">${strings.lastSeen} !${instant(context, session.renewedAt)} <span class="address">${strings.from} ${session.address}</span></span>
<span class="hint">${strings.firstSeen} !${instant(context, session.createdAt)}</span></div>
!${action}</li>`;
}

function endButton(context: PageContext, { sessionId, device }: Session): string {
  const { strings, base } = context;
  return html`<form method="post" action="${base}/form/end"><button class="quiet" name="session" value="${sessionId}" aria-label="${strings.endOneLabel(labelOf(context, device))}">${strings.endOne}</button></form>`;
}

function endButtons({ strings, base }: PageContext): string {
  return html`<form method="post" action="${base}/form/logout" class="row">
<button class="quiet" name="scope" value="others">${strings.endOthers}</button>
<button class="quiet danger" name="scope" value="all">${strings.endAll}</button>
</form>`;
}

function passwordSection({ strings, base }: PageContext, name: string, minimumLength: number): string {
  return html`<section aria-labelledby="change-password">
<h2 id="change-password">${strings.changePassword}</h2>
<p class="hint" id="change-note">${strings.changePasswordNote}</p>
<form method="post" action="${base}/form/password" aria-describedby="change-note">
<input name="username" value="${name}" autocomplete="username" readonly hidden>
<label for="current_password">${strings.currentPassword}</label>
<input id="current_password" name="current_password" type="password" autocomplete="current-password" required>
<label for="new_password">${strings.newPassword}</label>
<input id="new_password" name="new_password" type="password" autocomplete="new-password" minlength="${minimumLength}" aria-describedby="new-password-hint" required>
<p id="new-password-hint" class="hint">${strings.passwordHint(minimumLength)}</p>
<button>${strings.changePassword}</button>
</form>
</section>`;
}

function linksSection(context: PageContext, { providers, links }: AccountPage): string {
  const { strings, base } = context;
  const linked = links.map((link) => linkedAccount(context, link));
  const more = providers.map(
    ({ name }) =>
      html`<a class="button quiet" href="${base}/link/${encodeURIComponent(name)}">${strings.linkAccount(name)}</a>`,
  );
  return html`<section aria-labelledby="links"><h2 id="links">${strings.linkAccounts}</h2>
!${linked.length === 0 ? '' : html`<ul class="devices">!${linked.join('')}</ul>`}
<p class="hint">${strings.linkAccountNote}</p>
<p class="row">!${more.join('')}</p>
</section>`;
}

function linkedAccount(context: PageContext, { id, provider, linkedAt }: Link): string {
  const { strings, base } = context;
  return html`<li><div><span class="device">${strings.linkedAccount(provider)}</span>
<span class="hint">${strings.linkedSince} !${instant(context, linkedAt)}</span></div>
<form method="post" action="${base}/form/unlink"><button class="quiet" name="link" value="${id}" aria-label="${strings.unlinkLabel(provider)}">${strings.unlink}</button></form></li>`;
}

/** Says that the session here is over, and leads on to the provider that it began with. */
export function renderLoggedOutPage(
  context: PageContext,
  { provider, href }: { readonly provider: string; readonly href: string },
): string {
  const { strings } = context;
  return layout(
    context,
    strings.logOut,
    html`!${notice('info', strings.reasons.logged_out)}<p><a href="${href}">${strings.logOutAt(provider)}</a></p>`,
  );
}

function endingsSection(context: PageContext, endings: readonly Ending[]): string {
  const { strings } = context;
  const items = endings.map(
    ({ device, reason, at }) =>
      html`<li><span class="device">${labelOf(context, device)}</span> <span class="hint">${strings.endingReasons[reason]} · !${instant(context, at)}</span></li>`,
  );
  return html`<section aria-labelledby="endings"><h2 id="endings">${strings.endings}</h2><ul class="endings">!${items.join('')}</ul></section>`;
}

function labelOf({ strings }: PageContext, device: string): string {
  return device === '' || device === 'unknown' ? strings.unknownDevice : device;
}

/** In UTC for those without a script; `pages.js` shows the reader's own time. */
function instant({ strings }: PageContext, ms: number): string {
  const text = new Intl.DateTimeFormat(strings.language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    timeZone: 'UTC',
  }).format(ms);
  return html`<time datetime="${new Date(ms).toISOString()}">${text} UTC</time>`;
}
