import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { launchChromium } from '../browser/support/chromium.js';
import { PASSWORD, runExample } from './run-example.js';

t.test('examples/nginx protects pages and an API by forward authentication', async (t) => {
  const url = await runExample(t, 'examples/nginx/start.js');
  const api = `${url}/api/hello`;

  t.match(await (await fetch(url)).text(), 'A site for everyone');
  for (const headers of [
    {},
    { 'x-latchkey-subject': 'mallory' },
    { authorization: 'Bearer lka_nothing' },
    { cookie: '__Host-Http-latchkey=lka_nothing' },
  ]) {
    const refused = await fetch(api, { headers: headers as Record<string, string> });
    t.equal(refused.status, 401);
    t.match(refused.headers.get('www-authenticate'), 'Bearer realm="latchkey"');
  }
  const page = await fetch(`${url}/members/?a=b&c=d`, { redirect: 'manual' });
  t.equal(page.status, 303);
  t.equal(page.headers.get('location'), '/auth/continue?to=/members/');
  t.equal((await fetch(`${url}/-/verify`)).status, 404);
  for (const path of ['/members/%0d%0aset-cookie:x=y', '/members/..%2fmembers/', '//members/']) {
    const odd = await fetch(url + path, { redirect: 'manual' });
    t.notMatch(await odd.text(), 'For members', path);
    t.equal(odd.headers.get('set-cookie'), null);
  }

  const chromium = await launchChromium();
  t.teardown(() => chromium.close());
  const browser = await (await chromium.newContext({ baseURL: url })).newPage();
  await browser.goto('/register');
  await browser.getByLabel('Username').fill('grace');
  await browser.getByLabel('Password').fill(PASSWORD);
  await browser.keyboard.press('Enter');
  await browser.waitForURL('**/account');
  await browser.goto('/members/');
  t.equal(await browser.title(), 'For members');
  await sleep(2_500);
  await browser.goto('/members/');
  t.equal(await browser.title(), 'For members', 'the session is renewed on the way');
  t.equal(new URL(browser.url()).pathname, '/members/');
  const call = (init: RequestInit = {}) =>
    browser.evaluate(async (init) => {
      const reply = await fetch('/api/hello', init);
      return { status: reply.status, ...((await reply.json()) as { hello: string }) };
    }, init);
  const reply = await call();
  t.equal(reply.status, 200);
  t.match(reply.hello, /^[\w-]{22}$/, 'the API receives the subject');
  t.strictSame(await call({ method: 'POST', body: '{}' }), reply);
  const cookie = (await browser.context().cookies()).map(({ name, value }) => `${name}=${value}`)[0]!;
  t.equal(
    (await fetch(api, { method: 'POST', headers: { cookie, 'sec-fetch-site': 'same-site' } })).status,
    403,
    'a request from a sibling site is refused',
  );

  await browser.goto('/account');
  await browser.getByRole('button', { name: 'Log out', exact: true }).click();
  await browser.waitForURL('**/login?**');
  await browser.goto('/members/');
  t.equal(new URL(browser.url()).pathname, '/login');
});
