import { createClient } from './client.js';

// The pages work without this script. It refreshes the session while a page is open, and
// redirects to the login page when the session ends.

const { lang } = document.documentElement;
const region = navigator.languages.find((language) => language.startsWith(lang)) ?? lang;
const format = new Intl.DateTimeFormat(region, { dateStyle: 'medium', timeStyle: 'short' });
for (const time of document.querySelectorAll('time')) {
  time.textContent = format.format(new Date(time.dateTime));
}

const ACCOUNT = '/account';
const loginPage = document.querySelector('[data-login]')?.dataset.login;

if (loginPage !== undefined) {
  const baseUrl = new URL('../..', import.meta.url).pathname;
  const client = createClient({ baseUrl, refreshAhead: true, onSignedOut: redirectToLogin });
  const check = () => void client.session().catch(() => undefined);
  check();
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && check());
  // A page restored from the back/forward cache may show data of a session that has ended since.
  addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return;
    document.body.hidden = true;
    location.replace(ACCOUNT);
  });
}

function redirectToLogin(reason) {
  location.replace(`${loginPage}?${new URLSearchParams({ reason, to: ACCOUNT })}`);
}
