import type { Browser, BrowserContext, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { CLIENT, startProvider, type TestProvider } from '../support/provider.js';
import { ACCESS_COOKIE, PASSWORD, REFRESH_COOKIE } from '../support/service.js';
import { type BuiltService, startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';

let provider: TestProvider;
let service: BuiltService;
let chromium: Browser;

t.before(async () => {
  provider = await startProvider();
  service = await startBuiltService({
    OIDC_PROVIDERS: `corp ${provider.issuer} ${CLIENT.clientId} ${CLIENT.clientSecret}`,
  });
  provider.configure({
    redirectUris: [`${service.url}/auth/oidc/corp/callback`],
    backchannelLogoutUri: `${service.url}/auth/oidc/corp/backchannel`,
    postLogoutUri: `${service.url}/login`,
  });
  chromium = await launchChromium();
});
t.teardown(async () => {
  await chromium?.close();
  await service?.close();
  await provider?.close();
});

async function openBrowser(t: Test, javaScriptEnabled: boolean): Promise<BrowserContext> {
  const context = await chromium.newContext({ baseURL: service.url, locale: 'en-GB', javaScriptEnabled });
  t.teardown(() => context.close());
  // The provider's own pages load a font.
  await context.route('https://**', (route) => route.abort());
  return context;
}

/** Logs in at the provider and consents. */
async function logInThere(page: Page, login: string): Promise<void> {
  await page.waitForURL(`${provider.issuer}/interaction/**`);
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button.login-submit').click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

async function logOutHereAndThere(t: Test, page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Log out', exact: true }).click();
  await page.waitForURL(`${provider.issuer}/session/end?**`);
  const cookies = await page.context().cookies([service.url, `${service.url}/auth`]);
  t.strictSame(
    cookies.filter(({ name }) => name === ACCESS_COOKIE || name === REFRESH_COOKIE),
    [],
    'the session here has ended',
  );
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
  await page.waitForURL(`${service.url}/login`);
}

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with JavaScript' : 'without JavaScript';

  t.test(`log in with a provider, back to the page that was asked for, and log out at both, ${how}`, async (t) => {
    const context = await openBrowser(t, javaScriptEnabled);
    const page = await context.newPage();
    await page.goto('/login?reason=missing&to=%2Faccount%3Fpage%3D2');
    await page.getByRole('link', { name: 'Log in with corp' }).click();
    await logInThere(page, `ada-${how}`);
    await page.waitForURL(`${service.url}/account?page=2`);
    await logOutHereAndThere(t, page);
    await page.getByRole('link', { name: 'Log in with corp' }).click();
    await page.waitForURL(`${provider.issuer}/interaction/**`);
    t.ok(await page.locator('input[name=login]').isVisible(), 'the login at the provider has ended too');
  });

  t.test(`link an account on the account page, log in with it, and remove it, ${how}`, async (t) => {
    const context = await openBrowser(t, javaScriptEnabled);
    const page = await context.newPage();
    const username = `grace-${javaScriptEnabled}`;
    await page.goto('/register');
    await page.locator('#username').fill(username);
    await page.locator('#password').fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/account');
    await page.getByRole('link', { name: 'Link your corp account' }).click();
    await logInThere(page, username);
    await page.waitForURL('**/account?done=linked');
    t.match(await page.locator('main').innerText(), 'The account is linked.');

    await page.getByRole('button', { name: 'Log out', exact: true }).click();
    await page.waitForURL('**/login?reason=logged_out**');
    await page.getByRole('link', { name: 'Log in with corp' }).click();
    await page.waitForURL('**/account');
    t.match(
      await page.locator('main').innerText(),
      `Logged in as ${username}`,
      'logging out of a session that began with a password keeps the login at the provider',
    );
    await page.getByRole('button', { name: 'Unlink your corp account' }).click();
    await page.waitForURL('**/account?done=unlinked');
    t.match(await page.locator('main').innerText(), 'The account is no longer linked');
    t.equal(await page.getByRole('button', { name: 'Unlink your corp account' }).count(), 0);
    await logOutHereAndThere(t, page);
  });
}
