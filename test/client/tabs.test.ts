import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { until } from '../support/redis/waiting.js';
import { Browser } from './support/browser.js';
import { PASSWORD, type Site, startSite } from './support/site.js';
import { WebLocks } from './support/web-locks.js';

const REFRESHED = 'POST /auth/refresh 200';
let site: Site;

t.before(async () => {
  site = await startSite();
});
t.teardown(() => site.close());

/** A browser that somebody is logged in to, with ten tabs. */
async function tenTabs(t: Test, options = {}) {
  const browser = new Browser(site);
  t.teardown(() => browser.close());
  const tabs = Array.from({ length: 10 }, () => browser.open(options));
  const user = await site.register();
  await tabs[0]!.login(user);
  browser.log.length = 0;
  const echo = `${browser.url}/api/echo`;
  const endings = () => tabs.map(({ endings }) => endings);
  return { browser, tabs, user, echo, endings };
}

function withWebLocks(t: Test): WebLocks {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  const locks = new WebLocks();
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { locks } });
  t.teardown(() => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  });
  return locks;
}

/** A login by another way than the client. */
const logInByForm = (browser: Browser, { username, password }: { username: string; password: string }) =>
  browser.fetch(`${browser.url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  });

const everyTab = (reason: string) => Array.from({ length: 10 }, () => [reason]);
const nobody = Array.from({ length: 10 }, () => []);

t.test('ten tabs whose access token expires at once, without Web Locks: the service converges', async (t) => {
  const { browser, tabs, user, echo, endings } = await tenTabs(t);
  for (let round = 1; round <= 20; round++) {
    await site.expireAccess();
    const before = await site.generation(user.subject);
    const answers = await Promise.all(tabs.flatMap((tab) => [tab.fetch(echo), tab.fetch(echo)]));
    t.ok(
      answers.every(({ status }) => status === 200),
      `round ${round}`,
    );
    t.ok((await site.generation(user.subject)) - before <= 1, 'at most one rotation');
    await site.closePairs();
  }
  t.equal(await site.generation(user.subject), 21);
  t.ok(browser.count(REFRESHED) <= 20 * 10, 'at most one refresh a tab');
  t.strictSame(endings(), nobody);
});

t.test('with Web Locks, one refresh is enough for all', async (t) => {
  const locks = withWebLocks(t);
  const { browser, tabs, echo, endings } = await tenTabs(t);
  t.equal(locks.granted.length, 1, 'a login takes the lock');
  for (let round = 1; round <= 20; round++) {
    await site.expireAccess();
    await Promise.all(tabs.map((tab) => tab.fetch(echo)));
    await site.closePairs();
  }
  t.ok(browser.count(REFRESHED) < 2 * 20, `${browser.count(REFRESHED)} refreshes in 20 rounds`);
  t.equal(new Set(locks.granted).size, 1);
  t.strictSame(endings(), nobody);
});

t.test('a lock that is not given up is not waited for too long', async (t) => {
  const locks = withWebLocks(t);
  const { browser, tabs, echo } = await tenTabs(t, { lockTimeoutMs: 100 });
  let giveUp = () => {};
  const name = locks.granted[0]!;
  const held = locks.request(
    name,
    { signal: new AbortController().signal },
    () => new Promise<void>((resolve) => (giveUp = resolve)),
  );
  await site.expireAccess();
  t.equal((await tabs[1]!.fetch(echo)).status, 200);
  t.equal(browser.count(REFRESHED), 1);
  giveUp();
  await held;
});

t.test('what fails with the lock is not done again without it', async (t) => {
  withWebLocks(t);
  const { browser, tabs, echo } = await tenTabs(t);
  await site.expireAccess();
  browser.onAnswer = ({ url }) => {
    if (url.endsWith('/refresh')) throw new TypeError('The network is gone');
  };
  let asked = 0;
  const tab = browser.open({
    fetch: (input, init) => {
      if (new Request(input, init).url.endsWith('/refresh')) asked++;
      return browser.fetch(input, init);
    },
  });
  await t.rejects(tab.fetch(echo), { code: 'unavailable' });
  t.equal(asked, 1);
  t.equal(tabs.length, 10);
});

t.test('every tab is told once why the session is over', async (t) => {
  const { tabs, user, echo, endings } = await tenTabs(t);
  const elsewhere = new Browser(site);
  t.teardown(() => elsewhere.close());
  const other = elsewhere.open();
  await other.login(user);
  await other.logout('others');

  await Promise.all(tabs.slice(0, 5).map((tab) => tab.fetch(echo)));
  await until('every tab has heard', async () => endings().every(({ length }) => length > 0));
  await Promise.all(tabs.map((tab) => tab.fetch(echo)));
  await sleep(100);
  t.strictSame(endings(), everyTab('logged_out_elsewhere'));
  t.strictSame(other.endings, []);
});

t.test('a logout in one tab is a logout in all', async (t) => {
  const { browser, tabs, endings } = await tenTabs(t);
  await tabs[3]!.logout();
  await until('every tab has heard', async () => endings().every(({ length }) => length > 0));
  t.strictSame(endings(), everyTab('logged_out'));
  t.equal(browser.count(REFRESHED), 0);
});

t.test('a login in one tab is a login in all, and the next end is told again', async (t) => {
  const { tabs, user, echo, endings } = await tenTabs(t);
  await tabs[0]!.logout();
  await until('every tab has heard', async () => endings().every(({ length }) => length === 1));
  await tabs[1]!.login(user);
  for (const tab of tabs) t.equal((await tab.fetch(echo)).status, 200);
  await tabs[2]!.changePassword({ currentPassword: PASSWORD, newPassword: `${PASSWORD}!` });
  for (const tab of tabs) t.equal((await tab.fetch(echo)).status, 200);
  await tabs[3]!.logout('session');
  await until('every tab has heard again', async () => endings().every(({ length }) => length === 2));
});

t.test('a tab that was signed out and finds a session is signed in again', async (t) => {
  const { browser, tabs, user } = await tenTabs(t);
  const tab = tabs[0]!;
  await tab.logout();
  const answer = await logInByForm(browser, user);
  t.equal(answer.status, 200, 'a login by another way than the client');
  t.ok(await tab.session());
  await tab.logout();
  t.strictSame(tab.endings, ['logged_out', 'logged_out']);
});

t.test(
  'so is every other: a login by a form is known to all tabs once one has asked, and the next end is told to all',
  async (t) => {
    const { browser, tabs, user, endings } = await tenTabs(t);
    await tabs[0]!.logout();
    await until('every tab has heard', async () => endings().every(({ length }) => length === 1));
    const loaded = browser.open();
    await logInByForm(browser, user);
    t.ok(await loaded.session());
    t.ok(await loaded.session(), 'which is told once');
    await sleep(100);
    await loaded.logout();
    await until('every tab has heard again', async () => endings().every(({ length }) => length === 2));
    t.strictSame(
      endings(),
      Array.from({ length: 10 }, () => ['logged_out', 'logged_out']),
    );
    t.strictSame(loaded.endings, ['logged_out']);
  },
);

t.test('an answer about a session that has ended since begins none', async (t) => {
  const { browser, tabs, echo } = await tenTabs(t);
  const tab = tabs[0]!;
  let late = false;
  browser.onAnswer = async ({ url }) => {
    if (late || !url.endsWith('/auth/session')) return;
    late = true;
    await sleep(300);
  };
  const slow = tab.session();
  await until('the question is answered', async () => late);
  await tab.logout();
  t.ok(await slow);
  t.equal((await tab.fetch(echo)).status, 401);
  await sleep(100);
  t.strictSame(tab.endings, ['logged_out']);
});

t.test('a request is not repeated in the name of somebody who has logged in by a form meanwhile', async (t) => {
  const { browser, tabs, echo, endings } = await tenTabs(t);
  const other = await site.register();
  await site.expireAccess();
  let loggedIn = false;
  browser.onAnswer = async ({ url }) => {
    if (loggedIn || !url.endsWith('/api/echo')) return;
    loggedIn = true;
    await logInByForm(browser, other);
  };
  t.equal((await tabs[0]!.fetch(echo)).status, 401);
  t.equal(browser.count('GET /api/echo 200'), 0);
  t.equal((await tabs[0]!.fetch(echo)).status, 200, 'the next one is');
  t.strictSame(endings(), nobody);
});

t.test('a verdict on the old session that comes late signs nobody out', async (t) => {
  const { browser, tabs, user, echo, endings } = await tenTabs(t);
  const elsewhere = new Browser(site);
  t.teardown(() => elsewhere.close());
  const other = elsewhere.open();
  await other.login(user);
  await other.logout('others');

  let late = false;
  browser.onAnswer = async ({ url }) => {
    if (!url.endsWith('/auth/refresh')) return;
    late = true;
    await sleep(500);
  };
  const slow = tabs[0]!.fetch(echo);
  await until('the refresh is refused', async () => late);
  await tabs[1]!.login(user);
  t.equal((await slow).status, 401, 'nor is the request made in the name of the new session');
  t.equal(browser.count('POST /auth/refresh 403'), 1);
  t.equal((await tabs[0]!.fetch(echo)).status, 200);
  t.strictSame(endings(), nobody);
});

t.test('nor does an answer to the question whether it is so', async (t) => {
  const { browser, tabs, user, echo, endings } = await tenTabs(t);
  const elsewhere = new Browser(site);
  t.teardown(() => elsewhere.close());
  const other = elsewhere.open();
  await other.login(user);
  await other.logout('others');

  let late = false;
  browser.onAnswer = async ({ url }) => {
    if (late || !url.endsWith('/auth/session')) return;
    late = true;
    await sleep(500);
  };
  const slow = tabs[0]!.session();
  await until('the question is answered', async () => late);
  await tabs[1]!.login(user);
  t.match(await slow, { subject: user.subject }, 'the session is the new one');
  t.equal((await tabs[0]!.fetch(echo)).status, 200);
  t.strictSame(endings(), nobody);
});

t.test('the end of a session that is told late, after a login, is none', async (t) => {
  const { browser, tabs, user, endings } = await tenTabs(t);
  await tabs[0]!.login(user);
  const channel = new BroadcastChannel(`latchkey:${browser.url}/auth`);
  t.teardown(() => channel.close());
  const asked = browser.count('GET /auth/session 200');
  channel.postMessage(['out', 'logged_out']);
  await until('every tab has asked', async () => browser.count('GET /auth/session 200') === asked + 10);
  browser.onAnswer = () => {
    throw new TypeError('The network is gone');
  };
  channel.postMessage(['out', 'logged_out']);
  await sleep(100);
  t.strictSame(endings(), nobody);
});

t.test('login, logout and refresh of a tab take turns', async (t) => {
  const { browser, tabs, user, echo } = await tenTabs(t);
  await site.expireAccess();
  const tab = tabs[0]!;
  await Promise.all([tab.fetch(echo), tab.login(user), tab.logout('session'), tab.login(user)]);
  t.strictSame(
    browser.log.filter((line) => line.startsWith('POST /auth')),
    ['POST /auth/login 200', 'POST /auth/logout 204', 'POST /auth/login 200'],
  );
  t.equal((await tab.fetch(echo)).status, 200);
});

t.test('a tab that is closed while it refreshes', async (t) => {
  const { tabs, echo } = await tenTabs(t);
  await site.expireAccess();
  const answered = tabs[0]!.fetch(echo);
  tabs[0]!.close();
  t.equal((await answered).status, 200);
});
