import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { until } from '../support/redis/waiting.js';
import { Browser } from './support/browser.js';
import { type Site, startSite } from './support/site.js';

const REFRESH_OK = 'POST /auth/refresh 200';
let site: Site;
/** A site whose access tokens outlive the test, however slow the machine is. */
let patientSite: Site;

t.before(async () => {
  site = await startSite({ accessLifetimeMs: 2_500, refreshGraceMs: 500 });
  patientSite = await startSite();
});
t.teardown(() => Promise.all([site.close(), patientSite.close()]));

function openBrowser(t: Test, at = site): Browser {
  const browser = new Browser(at);
  t.teardown(() => browser.close());
  return browser;
}

/** What the client sees of its page. */
class Page extends EventTarget {
  visibilityState = 'visible';
  readonly baseURI = 'http://127.0.0.1/';

  show(visibilityState: 'visible' | 'hidden'): void {
    this.visibilityState = visibilityState;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

function simulatePage(t: Test): Page {
  const page = new Page();
  Object.defineProperty(globalThis, 'document', { configurable: true, value: page });
  t.teardown(() => Reflect.deleteProperty(globalThis, 'document'));
  return page;
}

t.test('one tab renews the access token before it expires, for all tabs', async (t) => {
  const site = await startSite({ accessLifetimeMs: 6_000, refreshGraceMs: 500 });
  t.teardown(() => site.close());
  const browser = openBrowser(t, site);
  const tabs = Array.from({ length: 10 }, () => browser.open({ refreshAhead: 1 }));
  const user = await site.register();
  await tabs[0]!.login(user);
  await until('it is renewed twice', async () => (await site.generation(user.subject)) >= 3);
  const answers = await Promise.all(tabs.map((tab) => tab.fetch(`${browser.url}/api/echo`)));
  for (const { status } of answers) t.equal(status, 200);
  t.equal(browser.count('GET /api/echo 401'), 0, 'no request has met an expired token');
  const refreshes = browser.count(REFRESH_OK);
  const renewals = (await site.generation(user.subject)) - 1;
  t.ok(refreshes < renewals * 10, `${refreshes} refreshes for ${renewals} renewals`);
});

t.test('no tab renews its access token ahead without refreshAhead, after close or after a logout', async (t) => {
  const browser = openBrowser(t);
  const user = await site.register();
  const closed = browser.open({ refreshAhead: true });
  await closed.login(user);
  closed.close();
  await closed.session();
  await browser.open().session();
  const ended = openBrowser(t);
  const tab = ended.open({ refreshAhead: true });
  await tab.login(await site.register());
  await tab.logout();
  // On a slow machine, a tab may have needed a refresh before it was closed or logged out.
  const countRefreshes = () => browser.count(REFRESH_OK) + ended.count(REFRESH_OK);
  const before = countRefreshes();
  await sleep(2_600);
  t.equal(countRefreshes(), before);
});

t.test('a tab that is shown does not renew an access token before the renewal is due', async (t) => {
  const page = simulatePage(t);
  const browser = openBrowser(t, patientSite);
  const tab = browser.open({ refreshAhead: true });
  await tab.login(await patientSite.register());
  page.show('hidden');
  page.show('visible');
  await sleep(100);
  t.equal(browser.count(REFRESH_OK), 0);
});

t.test('a hidden tab whose access token is due for renewal renews it only when the tab is shown', async (t) => {
  const page = simulatePage(t);
  const browser = openBrowser(t);
  const user = await site.register();
  await browser.open().login(user);
  page.show('hidden');
  const tab = browser.open({ refreshAhead: true });
  t.ok(await tab.session());
  const before = browser.count(REFRESH_OK);
  await sleep(2_600);
  t.equal(browser.count(REFRESH_OK), before, 'a hidden tab renews nothing');
  page.show('visible');
  await until('it is renewed', async () => browser.count(REFRESH_OK) === before + 1);
  tab.close();
  page.show('visible');
});

t.test('a failed renewal ahead of time signs nobody out and is retried when the tab is shown', async (t) => {
  const page = simulatePage(t);
  const browser = openBrowser(t);
  const tab = browser.open({ refreshAhead: 2 });
  await tab.login(await site.register());
  let lost = 0;
  browser.onAnswer = () => {
    lost++;
    throw new TypeError('The network is gone');
  };
  await until('it has failed', async () => lost > 0);
  browser.onAnswer = undefined;
  page.show('visible');
  await until('it is renewed', async () => browser.count(REFRESH_OK) === 1);
  t.strictSame(tab.endings, []);
});
