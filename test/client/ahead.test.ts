import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { until } from '../support/redis/waiting.js';
import { Browser } from './support/browser.js';
import { type Site, startSite } from './support/site.js';

const REFRESHED = 'POST /auth/refresh 200';
let site: Site;

t.before(async () => {
  site = await startSite({ accessLifetimeMs: 2_500, refreshGraceMs: 500 });
});
t.teardown(() => site.close());

function openBrowser(t: Test): Browser {
  const browser = new Browser(site);
  t.teardown(() => browser.close());
  return browser;
}

/** What the client knows of the page that it is in. */
class Page extends EventTarget {
  visibilityState = 'visible';
  readonly baseURI = 'http://127.0.0.1/';

  show(visibilityState: 'visible' | 'hidden'): void {
    this.visibilityState = visibilityState;
    this.dispatchEvent(new Event('visibilitychange'));
  }
}

function inPage(t: Test): Page {
  const page = new Page();
  Object.defineProperty(globalThis, 'document', { configurable: true, value: page });
  t.teardown(() => Reflect.deleteProperty(globalThis, 'document'));
  return page;
}

t.test('the access token is renewed before it expires, by one tab for all', async (t) => {
  const browser = openBrowser(t);
  const tabs = Array.from({ length: 10 }, () => browser.open({ refreshAhead: 1 }));
  const user = await site.register();
  await tabs[0]!.login(user);
  await until('it is renewed twice', async () => (await site.generation(user.subject)) >= 3);
  for (const tab of tabs) t.equal((await tab.fetch(`${browser.url}/api/echo`)).status, 200);
  t.equal(browser.count('GET /api/echo 401'), 0, 'no request has noticed');
  t.ok(browser.count(REFRESHED) < 2 * 10, `${browser.count(REFRESHED)} refreshes`);
});

t.test('nothing is renewed ahead unless it is asked for, after close, or after the end', async (t) => {
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
  await sleep(2_600);
  t.equal(browser.count(REFRESHED) + ended.count(REFRESHED), 0);
});

t.test('a tab that knows the session renews it ahead; a hidden one when it is shown', async (t) => {
  const page = inPage(t);
  const browser = openBrowser(t);
  const user = await site.register();
  await browser.open().login(user);
  const tab = browser.open({ refreshAhead: true });
  t.ok(await tab.session());
  page.show('hidden');
  page.show('visible');
  await sleep(100);
  t.equal(browser.count(REFRESHED), 0, 'it is not due yet');
  page.show('hidden');
  await sleep(2_600);
  t.equal(browser.count(REFRESHED), 0);
  page.show('visible');
  await until('it is renewed', async () => browser.count(REFRESHED) === 1);
  tab.close();
  page.show('visible');
});

t.test('a renewal ahead that fails is nothing to the page, and is tried again when it is shown', async (t) => {
  const page = inPage(t);
  const browser = openBrowser(t);
  const tab = browser.open({ refreshAhead: 2 });
  await tab.login(await site.register());
  let lost = 0;
  browser.onAnswer = () => {
    lost++;
    throw new TypeError('The network is gone');
  };
  await until('it has failed', async () => lost === 1);
  browser.onAnswer = undefined;
  page.show('visible');
  await until('it is renewed', async () => browser.count(REFRESHED) === 1);
  t.strictSame(tab.endings, []);
});
