import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { Client, ClientOptions, createClient } from '../../src/client/index.js';
import { type Site, startSite } from '../client/support/site.js';
import { PASSWORD } from '../support/credentials.js';
import { until } from '../support/redis/waiting.js';
import { ACCESS_COOKIE, REFRESH_COOKIE } from '../support/service.js';
import { launchChromium } from './support/chromium.js';
import { servingClient } from './support/page.js';

declare global {
  interface Window {
    createClient: typeof createClient;
    client: Client;
    endings: string[];
  }
}

const ACCESS_LIFETIME_MS = 1_500;
const GRACE_MS = 1_000;
const ROUNDS = 50;
const TABS = 10;

let site: Site;
let patient: Site;
let chromium: Browser;

t.before(async () => {
  chromium = await launchChromium();
  site = await startSite({ accessLifetimeMs: ACCESS_LIFETIME_MS, refreshGraceMs: GRACE_MS }, await servingClient());
  patient = await startSite({}, await servingClient());
});
t.teardown(async () => {
  await chromium?.close();
  await site?.close();
  await patient?.close();
});

async function openBrowser(t: Test, { port } = site): Promise<BrowserContext> {
  const context = await chromium.newContext({ baseURL: `http://localhost:${port}` });
  t.teardown(() => context.close());
  return context;
}

async function openTab(
  context: BrowserContext,
  options: ClientOptions & { withoutLocks?: boolean } = {},
): Promise<Page> {
  const page = await context.newPage();
  await page.goto('/');
  await page.waitForFunction(() => 'createClient' in window);
  await page.evaluate(({ withoutLocks, ...options }) => {
    if (withoutLocks) Object.defineProperty(navigator, 'locks', { value: undefined });
    window.endings = [];
    window.client = window.createClient({ ...options, onSignedOut: (reason) => window.endings.push(reason) });
  }, options);
  return page;
}

const logIn = (page: Page, { username, password }: { username: string; password: string }) =>
  page.evaluate((credentials) => window.client.login(credentials), { username, password });
const use = (page: Page) => page.evaluate(async () => (await window.client.fetch('/api/echo')).status);
const endingsOf = (page: Page) => page.evaluate(() => window.endings);

/** Counts the answers to requests for `path`, by status. */
function counting(context: BrowserContext, path: string): Record<number, number> {
  const counts: Record<number, number> = {};
  context.on('response', (response) => {
    if (new URL(response.url()).pathname === path) counts[response.status()] = (counts[response.status()] ?? 0) + 1;
  });
  return counts;
}

/** Expires the access token in Redis each round, and in every second round also its cookie in the browser. */
async function rounds(t: Test, { count, withoutLocks }: { count: number; withoutLocks: boolean }) {
  const context = await openBrowser(t, patient);
  const user = await patient.register();
  const tabs: Page[] = [];
  for (let i = 0; i < TABS; i++) tabs.push(await openTab(context, { withoutLocks }));
  await logIn(tabs[0]!, user);
  const refreshes = counting(context, '/auth/refresh');
  for (let round = 1; round <= count; round++) {
    await patient.closePairs();
    await patient.expireAccess();
    if (round % 2 === 0) await context.clearCookies({ name: ACCESS_COOKIE });
    const statuses = await Promise.all(tabs.map(use));
    if (statuses.some((status) => status !== 200)) t.fail(`round ${round}: ${statuses.join(' ')}`);
    const rotations = (await patient.generation(user.subject)) - 1;
    if (rotations !== round) t.fail(`round ${round}: ${rotations} rotations`);
  }
  t.strictSame(
    await Promise.all(tabs.map(endingsOf)),
    tabs.map(() => []),
    'nobody is signed out',
  );
  t.comment(`${count} rounds, answers to refreshes ${JSON.stringify(refreshes)}`);
  t.strictSame(Object.keys(refreshes), ['200']);
  return refreshes[200]!;
}

t.test(`${TABS} tabs whose access token expires at the same moment, ${ROUNDS} rounds: one rotation each`, async (t) => {
  const refreshes = await rounds(t, { count: ROUNDS, withoutLocks: false });
  t.ok(refreshes < 2 * ROUNDS, 'the tabs wait for one another');
});

t.test('without the Web Locks API, tabs that refresh at the same moment stay logged in', async (t) => {
  await rounds(t, { count: ROUNDS, withoutLocks: true });
});

t.test('a visible tab renews the access token ahead of time', async (t) => {
  const context = await openBrowser(t);
  const tab = await openTab(context, { refreshAhead: true });
  const user = await site.register();
  await logIn(tab, user);
  await until('it is renewed twice', async () => (await site.generation(user.subject)) >= 3);
});

t.test('after a lost answer to a refresh, the next request succeeds', async (t) => {
  const context = await openBrowser(t);
  const tab = await openTab(context);
  const user = await site.register();
  await logIn(tab, user);
  await sleep(ACCESS_LIFETIME_MS);

  // Chromium itself asks again once, on another connection.
  site.losesAnswersTo = '/auth/refresh';
  const cookies = await context.cookies();
  const error = await tab.evaluate(() =>
    window.client.fetch('/api/echo').catch(({ code, status }: { code: string; status: number }) => ({ code, status })),
  );
  t.strictSame(error, { code: 'unavailable', status: 0 });
  t.equal(await site.generation(user.subject), 2, 'the service has rotated');
  t.strictSame(refreshCookie(await context.cookies()), refreshCookie(cookies), 'the browser does not know');

  site.losesAnswersTo = undefined;
  await sleep(GRACE_MS * 2);
  t.equal(await use(tab), 200);
  t.equal(await site.generation(user.subject), 2);
  t.strictSame(await endingsOf(tab), []);
});

t.test('a stolen and replayed refresh token signs out both browsers with the reason', async (t) => {
  const context = await openBrowser(t);
  const [tab, tab2] = [await openTab(context), await openTab(context)];
  await logIn(tab, await site.register());
  const thief = await openBrowser(t);
  await thief.addCookies(await context.cookies());
  const thiefsTab = await openTab(thief);

  for (let rotation = 0; rotation < 2; rotation++) {
    await sleep(ACCESS_LIFETIME_MS);
    t.equal(await use(tab), 200);
  }
  await sleep(GRACE_MS);
  t.equal(await use(thiefsTab), 401);
  t.strictSame(await endingsOf(thiefsTab), ['reused']);
  t.equal(await use(tab), 401);
  await until('both tabs know', async () => (await endingsOf(tab2)).length > 0);
  t.strictSame([await endingsOf(tab), await endingsOf(tab2)], [['reused'], ['reused']]);
});

t.test('a device that another one ended is signed out at its next request, with the reason', async (t) => {
  const user = await site.register();
  const [here, there] = [await openTab(await openBrowser(t)), await openTab(await openBrowser(t))];
  await logIn(here, user);
  await logIn(there, user);
  await here.evaluate(async () => {
    for (const { id, current } of await window.client.sessions()) if (!current) await window.client.endSession(id);
  });
  t.equal(await use(there), 401);
  t.strictSame(await endingsOf(there), ['logged_out_elsewhere']);
  t.equal(await use(here), 200);
});

t.test('a login, a logout or a password change in one tab reaches every tab', async (t) => {
  const context = await openBrowser(t);
  const user = await site.register();
  const tabs = [await openTab(context), await openTab(context), await openTab(context)] as const;
  await logIn(tabs[0], user);
  await tabs[1].evaluate(
    (currentPassword) => window.client.changePassword({ currentPassword, newPassword: `${currentPassword}!` }),
    PASSWORD,
  );
  t.equal(await use(tabs[2]), 200);
  await tabs[2].evaluate(() => window.client.logout());
  await until('all know', async () => (await Promise.all(tabs.map(endingsOf))).every(({ length }) => length > 0));
  t.strictSame(
    await Promise.all(tabs.map(endingsOf)),
    tabs.map(() => ['logged_out']),
  );
  await logIn(tabs[0], { ...user, password: `${PASSWORD}!` });
  t.equal(await use(tabs[1]), 200);
});

t.test('scripts can neither read the cookies nor plant one', async (t) => {
  const context = await openBrowser(t);
  const tab = await openTab(context);
  const user = await site.register();
  await logIn(tab, user);
  const cookies = (await context.cookies()).map(({ name, path, httpOnly, secure, sameSite }) => ({
    name,
    path,
    httpOnly,
    secure,
    sameSite,
  }));
  const attributes = { httpOnly: true, secure: true, sameSite: 'Lax' };
  t.strictSame(
    cookies.sort((a, b) => b.path.length - a.path.length),
    [
      { name: REFRESH_COOKIE, path: '/auth', ...attributes },
      { name: ACCESS_COOKIE, path: '/', ...attributes },
    ],
    'Chromium takes both from http://localhost',
  );
  t.equal(await tab.evaluate(() => document.cookie), '');

  const thief = await openBrowser(t);
  await logIn(await openTab(thief), await site.register());
  const foreign = (await thief.cookies()).flatMap(({ name, value }) =>
    ['/', '/auth', '/auth/refresh'].flatMap((path) =>
      ['', '; Domain=localhost'].map((domain) => `${name}=${value}; Path=${path}; Secure${domain}`),
    ),
  );
  const plant = (page: Page, cookie: string) => page.evaluate((cookie) => void (document.cookie = cookie), cookie);
  const subject = (page: Page) => page.evaluate(async () => (await window.client.session())?.subject);

  for (const cookie of foreign) await plant(tab, cookie);
  t.equal(await subject(tab), user.subject, 'beside the own ones');
  await sleep(ACCESS_LIFETIME_MS);
  t.equal(await subject(tab), user.subject, 'which are renewed');

  const empty = await openBrowser(t);
  const emptyTab = await openTab(empty);
  for (const cookie of foreign) {
    await plant(emptyTab, cookie);
    t.equal(await subject(emptyTab), undefined, `where there is none: ${cookie.replace(/=lk._[^;]+/, '')}`);
    await empty.clearCookies();
  }
});

function refreshCookie(cookies: { name: string; value: string }[]): string | undefined {
  return cookies.find(({ name }) => name.endsWith('-refresh'))?.value;
}
