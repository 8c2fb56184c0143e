import { html } from 'ghtml';
import type { AccountLink } from '../../federation/links.js';
import type { EndedSession, Session } from '../../sessions/session.js';
import type { ProviderButton } from './credentials-pages.js';
import { type PageContext, renderLayout, renderNotice } from './layout.js';

export interface AccountPage {
  /** The username; the subject if there is none. */
  readonly name: string;
  /** Id of the session that the page is rendered for. */
  readonly currentSessionId: string;
  readonly sessions: readonly Session[];
  readonly endings: readonly EndedSession[];
  /** Minimum length of a new password, in characters; undefined if passwords cannot be changed here. */
  readonly minimumLength: number | undefined;
  /** Providers whose accounts can be linked. */
  readonly providers: readonly ProviderButton[];
  /** Linked accounts. */
  readonly links: readonly AccountLink[];
  readonly info?: string | undefined;
  readonly error?: string | undefined;
}

export function renderAccountPage(context: PageContext, page: AccountPage): string {
  const { strings, authPrefix, loginPage } = context;
  const others = page.sessions.filter(({ sessionId }) => sessionId !== page.currentSessionId);
  const thisDevice = html`<span class="here">${strings.thisDevice}</span>`;
  const current = page.sessions.filter(({ sessionId }) => sessionId === page.currentSessionId);
  return renderLayout(
    context,
    strings.account,
    html`!${renderNotice('info', page.info)}!${renderNotice('error', page.error)}
<div class="who" data-login="${loginPage}">
<p>${strings.loggedInAs} <strong>${page.name}</strong></p>
!${renderButtonForm(`${authPrefix}/form/logout`, { name: 'scope', value: 'session', text: strings.logOut })}
</div>
<section aria-labelledby="devices">
<h2 id="devices">${strings.devices}</h2>
<ul class="devices">
!${current.map((session) => renderDevice(context, session, thisDevice)).join('')}
!${others.map((session) => renderDevice(context, session, renderLogoutDeviceButton(context, session))).join('')}
</ul>
!${others.length === 0 ? html`<p class="hint">${strings.noOtherDevices}</p>` : renderLogoutAllForm(context)}
</section>
!${page.minimumLength === undefined ? '' : renderPasswordSection(context, page.name, page.minimumLength)}
!${page.providers.length === 0 ? '' : renderLinksSection(context, page)}
!${page.endings.length === 0 ? '' : renderEndingsSection(context, page.endings)}`,
  );
}

function renderDevice(context: PageContext, session: Session, action: string): string {
  const { strings } = context;
  const address = html`<span class="address">${strings.from} ${session.address}</span>`;
  return html`<li><div><span class="device">${deviceLabel(context, session.device)}</span>
<span class="hint">${strings.lastActive} !${renderTimestamp(context, session.renewedAt)} !${address}</span>
<span class="hint">${strings.loggedInSince} !${renderTimestamp(context, session.createdAt)}</span></div>
!${action}</li>`;
}

function renderLogoutDeviceButton(context: PageContext, { sessionId, device }: Session): string {
  const { strings, authPrefix } = context;
  return renderButtonForm(`${authPrefix}/form/end`, {
    name: 'session',
    value: sessionId,
    text: strings.logOutDevice,
    label: strings.logOutDeviceLabel(deviceLabel(context, device)),
  });
}

/** Renders a form that consists of one button, which posts `name=value`. */
function renderButtonForm(
  action: string,
  { name, value, text, label }: { name: string; value: string; text: string; label?: string },
): string {
  const ariaLabel = label === undefined ? '' : html` aria-label="${label}"`;
  const button = html`<button class="quiet" name="${name}" value="${value}"!${ariaLabel}>${text}</button>`;
  return html`<form method="post" action="${action}">!${button}</form>`;
}

function renderLogoutAllForm({ strings, authPrefix }: PageContext): string {
  return html`<form method="post" action="${authPrefix}/form/logout" class="row">
<button class="quiet" name="scope" value="others">${strings.logOutOthers}</button>
<button class="quiet danger" name="scope" value="all">${strings.logOutEverywhere}</button>
</form>`;
}

function renderPasswordSection({ strings, authPrefix }: PageContext, name: string, minimumLength: number): string {
  const hint = html`minlength="${minimumLength}" aria-describedby="new-password-hint"`;
  return html`<section aria-labelledby="change-password">
<h2 id="change-password">${strings.changePassword}</h2>
<p class="hint" id="change-note">${strings.changePasswordNote}</p>
<form method="post" action="${authPrefix}/form/password" aria-describedby="change-note">
<input name="username" value="${name}" autocomplete="username" readonly hidden>
<label for="current_password">${strings.currentPassword}</label>
<input id="current_password" name="current_password" type="password" autocomplete="current-password" required>
<label for="new_password">${strings.newPassword}</label>
<input id="new_password" name="new_password" type="password" autocomplete="new-password" !${hint} required>
<p id="new-password-hint" class="hint">${strings.passwordHint(minimumLength)}</p>
<button>${strings.changePassword}</button>
</form>
</section>`;
}

function renderLinksSection(context: PageContext, { providers, links }: AccountPage): string {
  const { strings, authPrefix } = context;
  const linked = links.map((link) => renderLinkedAccount(context, link));
  const linkButtons = providers.map(({ name }) => {
    const href = `${authPrefix}/link/${encodeURIComponent(name)}`;
    return html`<a class="button quiet" href="${href}">${strings.linkAccount(name)}</a>`;
  });
  return html`<section aria-labelledby="links"><h2 id="links">${strings.linkAccounts}</h2>
!${linked.length === 0 ? '' : html`<ul class="devices">!${linked.join('')}</ul>`}
<p class="hint">${strings.linkAccountNote}</p>
<p class="row">!${linkButtons.join('')}</p>
</section>`;
}

function renderLinkedAccount(context: PageContext, { id, provider, linkedAt }: AccountLink): string {
  const { strings, authPrefix } = context;
  const form = renderButtonForm(`${authPrefix}/form/unlink`, {
    name: 'link',
    value: id,
    text: strings.unlink,
    label: strings.unlinkLabel(provider),
  });
  return html`<li><div><span class="device">${strings.linkedAccount(provider)}</span>
<span class="hint">${strings.linkedOn} !${renderTimestamp(context, linkedAt)}</span></div>
!${form}</li>`;
}

/** Renders a page that confirms the logout and links to the provider's logout. */
export function renderLoggedOutPage(
  context: PageContext,
  { provider, href }: { readonly provider: string; readonly href: string },
): string {
  const { strings } = context;
  const link = html`<p><a href="${href}">${strings.logOutAt(provider)}</a></p>`;
  return renderLayout(context, strings.logOut, renderNotice('info', strings.reasons.logged_out) + link);
}

function renderEndingsSection(context: PageContext, endings: readonly EndedSession[]): string {
  const { strings } = context;
  const items = endings.map(({ device, reason, at }) => {
    const hint = html`<span class="hint">${strings.endingReasons[reason]} · !${renderTimestamp(context, at)}</span>`;
    return html`<li><span class="device">${deviceLabel(context, device)}</span> !${hint}</li>`;
  });
  const list = html`<h2 id="endings">${strings.endings}</h2><ul class="endings">!${items.join('')}</ul>`;
  return html`<section aria-labelledby="endings">!${list}</section>`;
}

function deviceLabel({ strings }: PageContext, device: string): string {
  return device === '' || device === 'unknown' ? strings.unknownDevice : device;
}

/** Renders a time in UTC; `pages.js` replaces it with local time. */
function renderTimestamp({ strings }: PageContext, ms: number): string {
  const text = new Intl.DateTimeFormat(strings.language, {
    dateStyle: 'medium',
    timeStyle: 'short',
    timeZone: 'UTC',
  }).format(ms);
  return html`<time datetime="${new Date(ms).toISOString()}">${text} UTC</time>`;
}
