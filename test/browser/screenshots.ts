import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';

const DIRECTORY = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));
const PASSWORD = 'pelican umbrella staircase';
const LOOKS: Record<string, BrowserContextOptions> = {
  light: { viewport: { width: 960, height: 640 }, colorScheme: 'light' },
  dark: { viewport: { width: 960, height: 640 }, colorScheme: 'dark' },
  phone: { viewport: { width: 375, height: 667 }, deviceScaleFactor: 2, colorScheme: 'light' },
};
const OTHERS = [
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
  'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:139.0) Gecko/20100101 Firefox/139.0',
];

await mkdir(DIRECTORY, { recursive: true });
// Nobody logs in with this provider, so it need not exist.
const service = await startBuiltService({ OIDC_PROVIDERS: 'Example https://id.example.com latchkey a-client-secret' });
const chromium = await launchChromium();
try {
  const storageState = await prepare();
  for (const [look, options] of Object.entries(LOOKS)) await shoot(look, options, storageState);
} finally {
  await chromium.close();
  await service.close();
}

type State = Awaited<ReturnType<BrowserContext['storageState']>>;

/** Registers a user with a few devices, one of them logged out, and gives the cookies of another. */
async function prepare(): Promise<State> {
  for (const userAgent of OTHERS) {
    const page = await open({ userAgent });
    if (userAgent === OTHERS[0]) {
      await page.goto('/register');
      await send(page);
    } else await logIn(page);
    if (userAgent === OTHERS[2]) await page.getByRole('button', { name: 'Log out', exact: true }).click();
    await page.context().close();
  }
  const page = await open({});
  await logIn(page);
  return page.context().storageState();
}

async function shoot(look: string, options: BrowserContextOptions, storageState: State): Promise<void> {
  const page = await open(options);
  const save = (name: string) => page.screenshot({ path: `${DIRECTORY}${name}-${look}.png`, fullPage: true });
  await page.goto('/login');
  await save('login');
  await page.goto('/login?reason=password_changed');
  await save('signed-out');
  await page.goto('/register');
  await save('register');
  await page.goto('/login?to=//nowhere');
  await save('error');
  await page.context().addCookies(storageState.cookies);
  await page.goto('/account');
  await save('account');
  await page.context().close();
}

async function open(options: BrowserContextOptions): Promise<Page> {
  const context = await chromium.newContext({ baseURL: service.url, locale: 'en-GB', ...options });
  return context.newPage();
}

async function logIn(page: Page): Promise<void> {
  await page.goto('/login');
  await send(page);
}

async function send(page: Page): Promise<void> {
  await page.getByLabel('Username').fill('ada');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/account');
}
