import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { type BuiltService, startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';
import { startProxy } from './support/proxy.js';

const PASSWORD = 'pelican umbrella staircase';

let service: BuiltService;
let chromium: Browser;
let users = 0;

t.before(async () => {
  service = await startBuiltService();
  chromium = await launchChromium({ keepsPages: true });
});
t.teardown(async () => {
  await chromium?.close();
  await service?.close();
});

/** Opens a page that records in `restored` which path the browser restored from its back/forward cache. */
async function openPage(t: Test, baseURL: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await chromium.newContext({ baseURL, locale: 'en-GB', ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  await page.addInitScript(() =>
    addEventListener('pageshow', ({ persisted }) => persisted && sessionStorage.setItem('restored', location.pathname)),
  );
  return page;
}

async function register(page: Page): Promise<string> {
  const username = `user-${++users}`;
  await page.goto('/register');
  await page.locator('#username').fill(username);
  await page.locator('#password').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/account');
  await page.waitForLoadState('networkidle');
  return username;
}

async function logOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  await page.waitForURL('**/login?reason=logged_out**');
}

// A restored page fires no load event.
const back = (page: Page) => page.goBack({ waitUntil: 'commit' });
const restored = (page: Page) => page.evaluate(() => sessionStorage.getItem('restored'));

/** Starts a proxy that removes `cache-control`, so that browsers may keep the pages. */
const startUncontrolledCache = (t: Test) =>
  startProxy(t, service.url, (answer, response) => {
    const { 'cache-control': _, ...others } = answer.headers;
    response.writeHead(answer.statusCode!, others);
    answer.pipe(response);
  });

t.test(
  'the back/forward cache keeps no page of ours, and the back button shows nothing private after a logout',
  async (t) => {
    const page = await openPage(t, service.url);
    const username = await register(page);
    await page.goto('/login?reason=missing');
    await back(page);
    await page.getByText(username).waitFor();
    t.equal(await restored(page), null);
    const reasons = await page.evaluate(() => {
      const [navigation] = performance.getEntriesByType('navigation') as {
        notRestoredReasons?: { reasons: { reason: string }[] };
      }[] &
        PerformanceEntryList;
      return navigation?.notRestoredReasons?.reasons.map(({ reason }) => reason) ?? [];
    });
    t.ok(reasons.includes('response-cache-control-no-store'), `Chromium says why: ${reasons.join()}`);

    await logOut(page);
    await back(page);
    await page.waitForURL('**/login?reason=missing**');
    t.notMatch(await page.content(), username);
  },
);

t.test('without JavaScript, the back button shows nothing private after a logout', async (t) => {
  const page = await openPage(t, service.url, { javaScriptEnabled: false });
  const username = await register(page);
  await logOut(page);
  await back(page);
  await page.waitForURL('**/login?reason=missing**');
  t.notMatch(await page.content(), username);
});

t.test('a page restored from the back/forward cache asks the service again', async (t) => {
  const page = await openPage(t, await startUncontrolledCache(t));
  const username = await register(page);
  await logOut(page);
  await back(page);
  await page.waitForURL('**/login?reason=missing**');
  t.equal(await restored(page), '/account', 'the page was restored from the cache');
  t.notMatch(await page.content(), username);
});
