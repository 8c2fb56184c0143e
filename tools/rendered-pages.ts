import { type AccountPage, renderAccountPage, renderLoggedOutPage } from '../src/http/pages/account-page.js';
import { type CredentialsPage, renderLoginPage, renderRegisterPage } from '../src/http/pages/credentials-pages.js';
import type { PageContext } from '../src/http/pages/layout.js';
import { LANGUAGES, stringsFor } from '../src/http/pages/strings.js';
import { ENDED_REASONS, type Session } from '../src/sessions/session.js';

const STARTED_AT = Date.UTC(2026, 0, 2, 3, 4, 5);
const DAY = 86_400_000;
const NASTY = '<script>"&\'';
const PROVIDERS = [
  { name: 'corp', href: '/auth/oidc/corp' },
  { name: 'a b', href: '/auth/oidc/a%20b' },
];

function session(sessionId: string, device: string): Session {
  const times = {
    authenticatedAt: STARTED_AT,
    createdAt: STARTED_AT,
    renewedAt: STARTED_AT + DAY,
    endsAt: STARTED_AT + 90 * DAY,
  };
  return { ...times, sessionId, device, subject: 'ada', methods: ['pwd'], address: '192.0.2.1', generation: 2 };
}

const credentials: Record<string, CredentialsPage> = {
  empty: {},
  info: { info: 'Some information.', username: 'ada', returnTo: '/reports?a=b&c' },
  again: { info: 'Some information.', reauthenticate: true },
  'wrong-password': { error: `An error: ${NASTY}`, username: NASTY },
  'wrong-username': { error: 'An error.', username: 'ada', usernameIsWrong: true },
};

const accounts: Record<string, AccountPage> = {
  alone: {
    name: 'ada',
    currentSessionId: 'own',
    sessions: [session('own', 'Firefox 140 · Linux')],
    endings: [],
    minimumLength: undefined,
    providers: [],
    links: [],
  },
  full: {
    name: NASTY,
    currentSessionId: 'own',
    info: 'Some information.',
    error: 'An error.',
    minimumLength: 15,
    providers: PROVIDERS,
    links: [
      { id: 'first', provider: 'corp', linkedAt: STARTED_AT },
      { id: 'second', provider: NASTY, linkedAt: STARTED_AT + DAY },
    ],
    sessions: [session('own', ''), session('other', 'unknown'), session('third', NASTY)],
    endings: ENDED_REASONS.map((reason, i) => ({
      sessionId: `ended-${i}`,
      reason,
      at: STARTED_AT + i * DAY,
      device: 'curl 8',
    })),
  },
};

/** Renders every page in every language, by file name under test/http/pages/rendered. */
export function renderedPages(): Record<string, string> {
  const pages: Record<string, string> = {};
  for (const language of LANGUAGES) {
    const context: PageContext = {
      brand: { name: `Brand ${NASTY}` },
      strings: stringsFor(language),
      assets: {
        stylesheets: ['/auth/assets/0/pages.css', '/auth/assets/0/brand.css'],
        scripts: ['/auth/assets/0/pages.js'],
      },
      authPrefix: '/auth',
      loginPage: '/login',
    };
    for (const [name, page] of Object.entries(credentials)) {
      pages[`login-${name}.${language}.html`] = renderLoginPage(context, {
        ...page,
        providers: name === 'empty' ? [] : PROVIDERS,
        registration: name === 'empty',
      });
      pages[`register-${name}.${language}.html`] = renderRegisterPage(context, { ...page, minimumLength: 15 });
    }
    for (const [name, page] of Object.entries(accounts))
      pages[`account-${name}.${language}.html`] = renderAccountPage(context, page);
    pages[`logged-out.${language}.html`] = renderLoggedOutPage(context, {
      provider: 'corp',
      href: '/auth/oidc/corp/logout?sid=s',
    });
  }
  return pages;
}
