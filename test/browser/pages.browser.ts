import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { type BuiltService, startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';
import { startProxy } from './support/proxy.js';

declare global {
  interface Window {
    axe: { run: () => Promise<AxeResults> };
  }
}

const PASSWORD = 'pelican umbrella staircase';
const ACCESS_LIFETIME_MS = 3_000;
const GRACE_MS = 1_000;
const AXE = fileURLToPath(import.meta.resolve('axe-core/axe.min.js'));

let service: BuiltService;
let chromium: Browser;
let users = 0;

t.before(async () => {
  service = await startBuiltService({
    ACCESS_TOKEN_LIFETIME: `${ACCESS_LIFETIME_MS}ms`,
    REFRESH_GRACE: `${GRACE_MS}ms`,
  });
  chromium = await launchChromium();
});
t.teardown(async () => {
  await chromium?.close();
  await service?.close();
});

async function openBrowser(t: Test, options: BrowserContextOptions = {}): Promise<BrowserContext> {
  const context = await chromium.newContext({ baseURL: service.url, locale: 'en-GB', ...options });
  t.teardown(() => context.close());
  return context;
}

/** Registers a new user in this page, which shows the account afterwards. */
async function register(page: Page): Promise<string> {
  const username = `user-${++users}`;
  await page.goto('/register');
  await fillIn(page, username);
  return username;
}

async function logIn(page: Page, username: string): Promise<void> {
  await page.goto('/login');
  await fillIn(page, username);
}

/** Fills in the form by keyboard only, from the focused first field. */
async function fillIn(page: Page, username: string): Promise<void> {
  await page.locator('#username:focus').waitFor();
  await page.keyboard.type(username);
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/account');
}

/** Reads which element has the focus, and its outline. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const element = document.activeElement!;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const name =
      element === document.body ? 'BODY' : (element.getAttribute('aria-label') ?? (element.textContent || element.id));
    return { name, outline: `${outlineStyle} ${outlineWidth}` };
  });

/** Presses Tab until the element with this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    if ((await focused(page)).name === name) return;
  }
  throw new Error(`No key leads to ${name}`);
}

const textOf = (page: Page) => page.locator('body').innerText();

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with JavaScript' : 'without JavaScript';

  t.test(`by keyboard alone, ${how}: register, log in, use, use again later, log out, back`, async (t) => {
    const context = await openBrowser(t, { javaScriptEnabled });
    const page = await context.newPage();
    const username = await register(page);
    t.match(await textOf(page), `Logged in as ${username}`);
    await tabTo(page, 'Log out');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/login?reason=logged_out**');
    t.match(await textOf(page), 'You are logged out.');

    await fillIn(page, username);
    t.match(await textOf(page), `Logged in as ${username}`);
    for (let round = 0; round < 2; round++) {
      await sleep(ACCESS_LIFETIME_MS + 500);
      await page.goto('/account');
      t.equal(new URL(page.url()).pathname, '/account', 'the renewal goes unnoticed');
      t.match(await textOf(page), `Logged in as ${username}`);
    }
    const [cookie] = (await context.cookies()).filter(({ name }) => name.endsWith('-refresh'));
    t.ok(cookie);
    const time = await page.locator('time').first().innerText();
    t.match(
      time,
      javaScriptEnabled ? /^\d+ \w+ \d{4}, \d\d:\d\d$/ : /UTC$/,
      "a script tells the time in the reader's own zone and words",
    );

    await tabTo(page, 'Log out');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/login?reason=logged_out**');
    t.strictSame(
      (await context.cookies()).filter(({ value }) => value !== ''),
      [],
    );
    await page.goBack();
    await page.waitForURL('**/login?**');
    t.notMatch(await page.content(), username, 'the back button shows nothing private');
  });

  t.test(`an answer to a refresh that is lost: the next request succeeds, ${how}`, async (t) => {
    let losing = false;
    let lost = 0;
    const baseURL = await startProxy(t, service.url, (answer, response, path) => {
      if (losing && path.startsWith('/auth/')) {
        lost++;
        response.destroy();
        return;
      }
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    const page = await (await openBrowser(t, { javaScriptEnabled, baseURL })).newPage();
    const username = await register(page);
    await page.goto('about:blank');
    await sleep(ACCESS_LIFETIME_MS + 500);
    losing = true;
    await t.rejects(page.goto('/account'));
    t.ok(lost > 0, 'the service has answered');
    losing = false;
    await sleep(2 * GRACE_MS);
    await page.goto('/account');
    t.equal(new URL(page.url()).pathname, '/account');
    t.match(await textOf(page), `Logged in as ${username}`);
  });

  t.test(`a token that is stolen and replayed signs out both, and the page says why, ${how}`, async (t) => {
    const context = await openBrowser(t, { javaScriptEnabled });
    const page = await context.newPage();
    await register(page);
    const stolen = await context.cookies();
    for (let rotation = 0; rotation < 2; rotation++) {
      await sleep(ACCESS_LIFETIME_MS + 200);
      await page.goto('/account');
    }
    await sleep(GRACE_MS + 200);
    const thief = await openBrowser(t, { javaScriptEnabled });
    await thief.addCookies(stolen.map((cookie) => ({ ...cookie, expires: Date.now() / 1000 + 3600 })));
    const thiefsPage = await thief.newPage();
    await thiefsPage.goto('/account');
    t.match(await textOf(thiefsPage), 'an old copy of your login was used', 'the thief');
    if (!javaScriptEnabled) await page.goto('/account');
    await page.waitForURL('**/login?reason=reused**');
    t.match(
      await textOf(page),
      'an old copy of your login was used',
      javaScriptEnabled ? 'the user, whose open page leaves by itself' : 'the user',
    );
  });

  t.test(`a device is logged out from another, and its next request says so, ${how}`, async (t) => {
    const [here, there] = [
      await (await openBrowser(t, { javaScriptEnabled })).newPage(),
      await (await openBrowser(t, { javaScriptEnabled })).newPage(),
    ];
    const username = await register(there);
    await logIn(here, username);
    await here.getByRole('button', { name: /^Log out Chrome/ }).focus();
    await here.keyboard.press('Enter');
    await here.waitForURL('**/account?done=session_ended');
    t.match(await textOf(here), 'The device was logged out.');
    t.match(await textOf(here), 'No other device is logged in.');
    if (!javaScriptEnabled) await there.goto('/account');
    await there.waitForURL('**/login?reason=logged_out_elsewhere**');
    t.match(await textOf(there), 'This device was logged out using another device.');
  });
}

t.test('a second tab leaves the account page when it is shown after a logout', async (t) => {
  const context = await openBrowser(t);
  const [first, second] = [await context.newPage(), await context.newPage()];
  await register(first);
  await second.goto('/account');
  await first.getByRole('button', { name: 'Log out', exact: true }).click();
  await first.waitForURL('**/login?**');
  await second.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await second.waitForURL('**/login?**');
});

t.test('scripts of the pages see no cookie, and what one plants opens nothing', async (t) => {
  const context = await openBrowser(t);
  const page = await context.newPage();
  await register(page);
  const cookies = await context.cookies();
  t.equal(cookies.length, 2);
  t.equal(await page.evaluate(() => document.cookie), '');
  await context.clearCookies();
  await page.evaluate(
    (pairs) => {
      for (const pair of pairs) for (const path of ['/', '/auth']) document.cookie = `${pair}; Path=${path}; Secure`;
    },
    cookies.map(({ name, value }) => `${name}=${value}`),
  );
  await page.goto('/account');
  t.equal(new URL(page.url()).pathname, '/login');
});

t.test('every page is accessible and fits, light and dark, wide and narrow', async (t) => {
  const axe = await readFile(AXE, 'utf8');
  const first = await (await openBrowser(t)).newPage();
  const username = await register(first);

  for (const colorScheme of ['light', 'dark'] as const) {
    const context = await openBrowser(t, { colorScheme });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('request', (request) => request.url().startsWith(`${service.url}/`) || complaints.push(request.url()));

    const check = async (what: string) => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      const findings = violations.map(
        ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join(' ')}`,
      );
      t.strictSame(findings, [], `${what}, ${colorScheme}: axe finds nothing`);
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: 700 });
        t.equal(
          await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
          true,
          `${what} fits into ${width} pixels`,
        );
      }
    };

    await page.goto('/login');
    await check('login');
    await page.goto('/login?reason=reused&to=/account');
    await check('login with a reason');
    await page.keyboard.type(username);
    await page.keyboard.press('Tab');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.locator('#error').waitFor();
    await page.locator('#password:focus').waitFor();
    await check('login that failed');
    await page.goto('/register');
    await check('register');
    await page.goto('/login?to=//elsewhere');
    await check('an error');
    await logIn(page, username);
    await check('account');
    await tabTo(page, 'current_password');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Tab');
    await page.keyboard.type('another horse battery staple');
    await page.keyboard.press('Enter');
    await page.locator('#error').waitFor();
    await check('account with an error');
    await page
      .getByRole('button', { name: /^Log out Chrome/ })
      .first()
      .click();
    await page.getByRole('heading', { name: 'Recently ended' }).waitFor();
    await check('account with a message and endings');

    const outlines = new Set<string>();
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press('Tab');
      const { name, outline } = await focused(page);
      if (name === 'BODY') break;
      outlines.add(outline);
    }
    t.strictSame([...outlines], ['solid 3px'], 'the focus shows');
    // Refusals are told too: of what was typed wrong, and of an access token that has expired meanwhile.
    const others = complaints.filter((text) => !/status of 40[01]/.test(text));
    t.strictSame(others, [], 'nothing is loaded from elsewhere, and no policy violated');
  }
});

t.test('another site can neither log anyone in or out, nor read who is', async (t) => {
  const foreign = createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    const action = new URL(request.url!, 'http://foreign').searchParams.get('action') ?? '';
    response.end(`<!doctype html><form method="post" action="${service.url}${action}">
<input name="username" value="mallory"><input name="password" value="${PASSWORD}"><input name="scope" value="all"><button>Win</button></form>`);
  }).listen(0);
  await once(foreign, 'listening');
  t.teardown(() => foreign.close());
  const { port } = foreign.address() as AddressInfo;

  const context = await openBrowser(t);
  const page = await context.newPage();
  const username = await register(page);
  await page.goto('about:blank');
  for (const [site, origin] of [
    ['same-site', `http://localhost:${port}`],
    ['cross-site', `http://127.0.0.1:${port}`],
  ] as const) {
    const attacker = await context.newPage();
    for (const action of [
      '/auth/form/login',
      '/auth/form/logout',
      '/auth/form/register',
      '/auth/logout',
      '/auth/login',
    ]) {
      await attacker.goto(`${origin}/?action=${action}`);
      const [response] = await Promise.all([
        attacker.waitForResponse(`**${action}`),
        attacker.getByRole('button').click(),
      ]);
      t.equal(response.status(), 403, `${site}: a form posted to ${action}`);
      t.equal((await response.allHeaders())['set-cookie'], undefined);
    }
    await attacker.goto(origin);
    const outcomes = await attacker.evaluate(async (url) => {
      const outcome = (path: string, init: RequestInit) =>
        fetch(url + path, { credentials: 'include', ...init }).then(
          ({ type, status }) => `${type} ${status}`,
          () => 'refused',
        );
      return [
        await outcome('/auth/session', {}),
        await outcome('/account', {}),
        await outcome('/auth/logout', { method: 'POST' }),
        await outcome('/auth/logout', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
        await outcome('/auth/logout', { method: 'POST', mode: 'no-cors' }),
        await outcome('/auth/form/logout', {
          method: 'POST',
          mode: 'no-cors',
          body: new URLSearchParams({ scope: 'all' }),
        }),
      ];
    }, service.url);
    t.strictSame(
      outcomes,
      ['refused', 'refused', 'refused', 'refused', 'opaque 0', 'refused'],
      `${site}: nothing can be read`,
    );
    await attacker.close();
    await page.goto('/account');
    t.match(await textOf(page), `Logged in as ${username}`, `${site}: still logged in, as before`);
    await page.goto('about:blank');
  }
});
