import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { PASSWORD } from '../support/credentials.js';
import { until } from '../support/redis/waiting.js';
import { Browser } from './support/browser.js';
import { createGate } from './support/gate.js';
import { type Site, startSite } from './support/site.js';
import { WebLocks } from './support/web-locks.js';

const REFRESH_OK = 'POST /auth/refresh 200';
let site: Site;

t.before(async () => {
  site = await startSite();
});
t.teardown(() => site.close());

/** Opens a browser with ten tabs, in which a user is logged in. */
async function openTenTabs(t: Test, options = {}) {
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

function installWebLocks(t: Test): WebLocks {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  const locks = new WebLocks();
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { locks } });
  t.teardown(() => {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else Reflect.deleteProperty(globalThis, 'navigator');
  });
  return locks;
}

/** Logs in without the client, as a form does. */
const logInByForm = (browser: Browser, { username, password }: { username: string; password: string }) =>
  browser.fetch(`${browser.url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  });

const everyTab = (reason: string) => Array.from({ length: 10 }, () => [reason]);
const nobody = Array.from({ length: 10 }, () => []);

t.test('without Web Locks, ten tabs whose access token expires at once stay logged in', async (t) => {
  const { browser, tabs, user, echo, endings } = await openTenTabs(t);
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
  t.ok(browser.count(REFRESH_OK) <= 20 * 10, 'at most one refresh a tab');
  t.strictSame(endings(), nobody);
});

t.test('with Web Locks, ten tabs share one refresh', async (t) => {
  const locks = installWebLocks(t);
  const { browser, tabs, echo, endings } = await openTenTabs(t);
  t.equal(locks.granted.length, 1, 'a login takes the lock');
  for (let round = 1; round <= 20; round++) {
    await site.expireAccess();
    await Promise.all(tabs.map((tab) => tab.fetch(echo)));
    await site.closePairs();
  }
  t.ok(browser.count(REFRESH_OK) < 2 * 20, `${browser.count(REFRESH_OK)} refreshes in 20 rounds`);
  t.equal(new Set(locks.granted).size, 1);
  t.strictSame(endings(), nobody);
});

t.test('a tab waits for the lock no longer than lockTimeoutMs', async (t) => {
  const locks = installWebLocks(t);
  const { browser, tabs, echo } = await openTenTabs(t, { lockTimeoutMs: 100 });
  let release = () => {};
  const name = locks.granted[0]!;
  const held = locks.request(
    name,
    { signal: new AbortController().signal },
    () => new Promise<void>((resolve) => (release = resolve)),
  );
  await site.expireAccess();
  t.equal((await tabs[1]!.fetch(echo)).status, 200);
  t.equal(browser.count(REFRESH_OK), 1);
  release();
  await held;
});

t.test('a refresh that fails while it holds the lock is not repeated without the lock', async (t) => {
  installWebLocks(t);
  const { browser, tabs, echo } = await openTenTabs(t);
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

t.test('every tab learns once why the session ended', async (t) => {
  const { tabs, user, echo, endings } = await openTenTabs(t);
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

t.test('a logout in one tab logs out all tabs', async (t) => {
  const { browser, tabs, endings } = await openTenTabs(t);
  await tabs[3]!.logout();
  await until('every tab has heard', async () => endings().every(({ length }) => length > 0));
  t.strictSame(endings(), everyTab('logged_out'));
  t.equal(browser.count(REFRESH_OK), 0);
});

t.test('a login in one tab logs in all tabs, and every tab learns of the next logout', async (t) => {
  const { tabs, user, echo, endings } = await openTenTabs(t);
  await tabs[0]!.logout();
  await until('every tab has heard', async () => endings().every(({ length }) => length === 1));
  await tabs[1]!.login(user);
  for (const tab of tabs) t.equal((await tab.fetch(echo)).status, 200);
  await tabs[2]!.changePassword({ currentPassword: PASSWORD, newPassword: `${PASSWORD}!` });
  for (const tab of tabs) t.equal((await tab.fetch(echo)).status, 200);
  await tabs[3]!.logout('session');
  await until('every tab has heard again', async () => endings().every(({ length }) => length === 2));
});

t.test('a signed-out tab that finds a session is signed in again', async (t) => {
  const { browser, tabs, user } = await openTenTabs(t);
  const tab = tabs[0]!;
  await tab.logout();
  const answer = await logInByForm(browser, user);
  t.equal(answer.status, 200, 'a login without the client');
  t.ok(await tab.session());
  await tab.logout();
  t.strictSame(tab.endings, ['logged_out', 'logged_out']);
});

t.test('when one tab finds a session that a form started, all tabs learn of that session and its end', async (t) => {
  const { browser, tabs, user, endings } = await openTenTabs(t);
  await tabs[0]!.logout();
  await until('every tab has heard', async () => endings().every(({ length }) => length === 1));
  const loaded = browser.open();
  await logInByForm(browser, user);
  t.ok(await loaded.session());
  t.ok(await loaded.session(), 'asking twice announces the session once');
  await sleep(100);
  await loaded.logout();
  await until('every tab has heard again', async () => endings().every(({ length }) => length === 2));
  t.strictSame(
    endings(),
    Array.from({ length: 10 }, () => ['logged_out', 'logged_out']),
  );
  t.strictSame(loaded.endings, ['logged_out']);
});

t.test('a late answer about a session that has ended signs nobody in', async (t) => {
  const { browser, tabs, echo } = await openTenTabs(t);
  const tab = tabs[0]!;
  const gate = createGate();
  let answered = false;
  browser.onAnswer = async ({ url }) => {
    if (answered || !url.endsWith('/auth/session')) return;
    answered = true;
    await gate.opened;
  };
  const slow = tab.session();
  await until('the session is answered', async () => answered);
  await tab.logout();
  gate.open();
  t.ok(await slow);
  t.equal((await tab.fetch(echo)).status, 401);
  await sleep(100);
  t.strictSame(tab.endings, ['logged_out']);
});

t.test('a request is not repeated as another user who has logged in by a form in the meantime', async (t) => {
  const { browser, tabs, echo, endings } = await openTenTabs(t);
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

t.test('a late refusal of an old session signs nobody out', async (t) => {
  const { browser, tabs, user, echo, endings } = await openTenTabs(t);
  const elsewhere = new Browser(site);
  t.teardown(() => elsewhere.close());
  const other = elsewhere.open();
  await other.login(user);
  await other.logout('others');

  const gate = createGate();
  let answered = false;
  browser.onAnswer = async ({ url }) => {
    if (!url.endsWith('/auth/refresh')) return;
    answered = true;
    await gate.opened;
  };
  const slow = tabs[0]!.fetch(echo);
  await until('the refresh is refused', async () => answered);
  await tabs[1]!.login(user);
  gate.open();
  t.equal((await slow).status, 401, 'the request is not repeated in the name of the new session');
  t.equal(browser.count('POST /auth/refresh 403'), 1);
  t.equal((await tabs[0]!.fetch(echo)).status, 200);
  t.strictSame(endings(), nobody);
});

t.test('a late 401 about an old session signs nobody out', async (t) => {
  const { browser, tabs, user, echo, endings } = await openTenTabs(t);
  const elsewhere = new Browser(site);
  t.teardown(() => elsewhere.close());
  const other = elsewhere.open();
  await other.login(user);
  await other.logout('others');

  const gate = createGate();
  let answered = false;
  browser.onAnswer = async ({ url }) => {
    if (answered || !url.endsWith('/auth/session')) return;
    answered = true;
    await gate.opened;
  };
  const slow = tabs[0]!.session();
  await until('the session is answered', async () => answered);
  await tabs[1]!.login(user);
  gate.open();
  t.match(await slow, { subject: user.subject }, 'the session is the new one');
  t.equal((await tabs[0]!.fetch(echo)).status, 200);
  t.strictSame(endings(), nobody);
});

t.test('a late message that the session ended, after a login, signs nobody out', async (t) => {
  const { browser, tabs, user, endings } = await openTenTabs(t);
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

t.test('logins, logouts and refreshes of one tab run one after another', async (t) => {
  const { browser, tabs, user, echo } = await openTenTabs(t);
  await site.expireAccess();
  const tab = tabs[0]!;
  await Promise.all([tab.fetch(echo), tab.login(user), tab.logout('session'), tab.login(user)]);
  t.strictSame(
    browser.log.filter((line) => line.startsWith('POST /auth')),
    ['POST /auth/login 200', 'POST /auth/logout 204', 'POST /auth/login 200'],
  );
  t.equal((await tab.fetch(echo)).status, 200);
});

t.test('a tab that is closed during a refresh still completes its request', async (t) => {
  const { tabs, echo } = await openTenTabs(t);
  await site.expireAccess();
  const answered = tabs[0]!.fetch(echo);
  tabs[0]!.close();
  t.equal((await answered).status, 200);
});
