import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { createClient, LatchkeyClientError } from '../../src/client/index.js';
import { PASSWORD } from '../support/credentials.js';
import { Browser } from './support/browser.js';
import { type Site, startSite } from './support/site.js';

const OTHER_PASSWORD = 'another horse battery staple';
let site: Site;

t.before(async () => {
  site = await startSite();
});
t.teardown(() => site.close());

function openBrowser(t: Test): Browser {
  const browser = new Browser(site);
  t.teardown(() => browser.close());
  return browser;
}

t.test('a user registers, logs in, reads the session and logs out', async (t) => {
  const browser = openBrowser(t);
  const tab = browser.open({ baseUrl: `${browser.url}/auth/` });
  const credentials = { username: 'ada', password: PASSWORD };
  const { subject, username } = await tab.register(credentials);
  t.equal(username, 'ada');
  await t.rejects(tab.register(credentials), { code: 'username_taken', status: 409 });
  await t.rejects(tab.register({ username: 'eve', password: 'short' }), {
    code: 'password_not_allowed',
    status: 422,
    reason: /./,
  });

  await t.rejects(tab.login({ ...credentials, password: OTHER_PASSWORD }), {
    code: 'invalid_credentials',
    status: 401,
    reason: undefined,
  });
  const session = await tab.login(credentials);
  t.match(session, { subject, username: 'ada', methods: ['pwd'], session_id: /./ });
  t.match(await tab.session(), { session_id: session.session_id });
  t.match(await tab.sessions(), [{ id: session.session_id, current: true }]);

  await tab.logout();
  t.strictSame(tab.endings, ['logged_out']);
  t.equal(await tab.session(), undefined);
  await t.rejects(tab.sessions(), { code: 'authentication_required', status: 401 });
  await t.rejects(tab.logout(), { code: 'authentication_required', status: 401 });
  t.strictSame(tab.endings, ['logged_out'], 'onSignedOut is called once');
  t.equal(browser.count('POST /auth/refresh 200'), 0);
});

t.test('every method of the client renews an expired access token', async (t) => {
  const browser = openBrowser(t);
  const tab = browser.open();
  const user = await site.register();
  const { session_id } = await tab.login(user);
  const elsewhere = openBrowser(t).open();
  const { session_id: other } = await elsewhere.login(user);

  await site.expireAccess();
  t.match(await tab.session(), { session_id });
  await site.expireAccess();
  t.equal((await tab.sessions()).length, 2);
  await site.expireAccess();
  await tab.endSession(other);
  t.equal((await tab.sessions()).length, 1);
  await site.expireAccess();
  await tab.changePassword({ currentPassword: PASSWORD, newPassword: OTHER_PASSWORD });
  await site.expireAccess();
  await tab.logout('others');
  t.strictSame(tab.endings, []);
  await site.expireAccess();
  await tab.logout('session');
  t.strictSame(tab.endings, ['logged_out']);
});

t.test('a browser whose session is ended from another browser is signed out with the reason', async (t) => {
  const user = await site.register();
  const [here, there] = [openBrowser(t).open(), openBrowser(t).open()];
  await here.login(user);
  const { session_id } = await there.login(user);
  await here.endSession(session_id);
  await t.rejects(here.endSession(session_id), { code: 'not_found', status: 404 });
  t.equal(await there.session(), undefined);
  t.strictSame(there.endings, ['logged_out_elsewhere']);
  t.strictSame(here.endings, []);
});

t.test('a browser that ends its own session is logged out', async (t) => {
  const user = await site.register();
  const browser = openBrowser(t);
  const { session_id } = await browser.open().login(user);
  const tab = browser.open();
  await tab.sessions();
  await tab.endSession(session_id);
  t.strictSame(tab.endings, ['logged_out']);
});

t.test('changing the password ends the other sessions and starts a new session in this browser', async (t) => {
  const user = await site.register();
  const [here, there] = [openBrowser(t).open(), openBrowser(t).open()];
  const { session_id } = await here.login(user);
  await there.login(user);
  await t.rejects(here.changePassword({ currentPassword: OTHER_PASSWORD, newPassword: PASSWORD }), {
    code: 'invalid_credentials',
  });
  const session = await here.changePassword({ currentPassword: PASSWORD, newPassword: OTHER_PASSWORD });
  t.not(session.session_id, session_id);
  t.match(await here.session(), { session_id: session.session_id });
  t.equal(await there.session(), undefined);
  t.strictSame([here.endings, there.endings], [[], ['password_changed']]);
});

t.test('a replayed stolen refresh token signs out both browsers with the reason', async (t) => {
  const user = await site.register();
  const browser = openBrowser(t);
  const tab = browser.open();
  await tab.login(user);
  const thief = await browser.stolen();
  t.teardown(() => thief.close());
  const thiefsTab = thief.open();

  await site.expireAccess();
  t.ok(await tab.session());
  await site.closePairs();
  await site.expireAccess();
  t.ok(await tab.session());
  t.equal(await thiefsTab.session(), undefined);
  t.strictSame(thiefsTab.endings, ['reused']);
  t.equal(await tab.session(), undefined);
  t.strictSame(tab.endings, ['reused']);
});

t.test('a logout with a reused refresh token gives the reason of the refusal', async (t) => {
  const user = await site.register();
  const browser = openBrowser(t);
  const tab = browser.open();
  await tab.login(user);
  const thief = await browser.stolen();
  t.teardown(() => thief.close());
  const thiefsTab = thief.open();
  for (let rotation = 0; rotation < 2; rotation++) {
    await site.closePairs();
    await site.expireAccess();
    t.ok(await tab.session());
  }
  await t.rejects(thiefsTab.logout(), { code: 'reauthentication_required', status: 403, reason: 'reused' });
  t.strictSame(thiefsTab.endings, ['reused']);
});

t.test('a client outside a browser needs an absolute base URL', async (t) => {
  await t.rejects(async () => createClient(), TypeError, 'a client outside a browser needs an absolute URL');
  const client = createClient({ baseUrl: `http://127.0.0.1:${site.port}/auth`, lockTimeoutMs: 10 });
  t.teardown(() => client.close());
  t.equal(await client.session(), undefined, 'no session, and no onSignedOut to call');
});

t.test('in a worker, URLs are relative to the location of its script', async (t) => {
  Object.defineProperty(globalThis, 'location', {
    configurable: true,
    value: new URL(`http://127.0.0.1:${site.port}/app/worker.js`),
  });
  t.teardown(() => Reflect.deleteProperty(globalThis, 'location'));
  const client = createClient();
  t.teardown(() => client.close());
  await t.rejects(client.logout(), { code: 'authentication_required' });
});

t.test('a missing, incomplete or foreign response is an unavailable error and signs nobody out', async (t) => {
  const browser = openBrowser(t);
  const tab = browser.open();
  const user = await site.register();
  await tab.login(user);
  for (const [status, name] of [
    [0, 'no answer'],
    [502, "a proxy's"],
    [200, 'half an answer'],
  ] as const) {
    const broken = browser.open({
      fetch: async () => {
        if (status === 0) throw new TypeError('The network is gone');
        return new Response(null, { status, headers: status === 200 ? { 'content-type': 'application/json' } : {} });
      },
    });
    const error = { name: 'LatchkeyClientError', code: 'unavailable', status: status === 502 ? 502 : 0 };
    await t.rejects(broken.login(user), error, name);
    await t.rejects(broken.session(), error, name);
    await t.rejects(broken.sessions(), error, name);
    t.strictSame(broken.endings, []);
  }
});

t.test('a refused refresh without a reason signs the user out with the reason unknown', async (t) => {
  const tab = openBrowser(t).open({
    fetch: async (input) => {
      const { pathname } = new URL(input as string);
      if (pathname.endsWith('/session'))
        return new Response(null, { status: 401, headers: { 'www-authenticate': 'Bearer' } });
      return Response.json({ code: 'reauthentication_required' }, { status: 403 });
    },
  });
  t.equal(await tab.session(), undefined);
  t.strictSame(tab.endings, ['unknown']);
  await t.rejects(tab.logout(), { code: 'reauthentication_required', reason: undefined });
});

t.test('if the end of the session cannot be confirmed, nobody is signed out', async (t) => {
  const browser = openBrowser(t);
  const tab = browser.open();
  const user = await site.register();
  await tab.login(user);
  const other = openBrowser(t).open();
  await other.login(user);
  await other.logout();
  browser.onAnswer = ({ url }) => {
    if (url.endsWith('/auth/session')) throw new TypeError('The network is gone');
  };
  await t.rejects(tab.session(), { code: 'unavailable', status: 0 });
  browser.onAnswer = ({ url }) => (url.endsWith('/auth/refresh') ? site.redis.pause() : undefined);
  t.teardown(() => site.redis.resume());
  const answered = tab.session();
  await t.rejects(answered, LatchkeyClientError);
  site.redis.resume();
  await sleep(50);
  t.strictSame(tab.endings, []);
  browser.onAnswer = undefined;
  await tab.session();
  t.strictSame(tab.endings, ['logged_out_elsewhere']);
});
