import { createClient } from './client.js';

// The pages work without this: it keeps an open page signed in, and takes private things away when the session is over.

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
  const client = createClient({ baseUrl, refreshAhead: true, onSignedOut: leave });
  const check = () => void client.session().catch(() => undefined);
  check();
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && check());
  // What the browser kept in memory shows what was true when it was left.
  addEventListener('pageshow', ({ persisted }) => {
    if (!persisted) return;
    document.body.hidden = true;
    location.replace(ACCOUNT);
  });
}

function leave(reason) {
  location.replace(`${loginPage}?${new URLSearchParams({ reason, to: ACCOUNT })}`);
}
