import { createClient } from './client.js';

// The pages work without this: it keeps an open page signed in, and takes private things away when the session is over.

for (const time of document.querySelectorAll('time')) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' });
  time.textContent = format.format(new Date(time.dateTime));
}

const isPrivate = location.pathname.endsWith('/account');
const base = new URL('..', import.meta.url).pathname.replace(/\/$/, '');

if (isPrivate) {
  const client = createClient({ baseUrl: base, refreshAhead: true, onSignedOut: leave });
  await client.session().catch(() => undefined);
}

function leave(reason) {
  location.replace(`/login?${new URLSearchParams({ reason, to: location.pathname })}`);
}

// A page that the browser kept in memory shows what was true when it was left.
addEventListener('pageshow', (event) => {
  if (event.persisted && isPrivate) location.reload();
});
