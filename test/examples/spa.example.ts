import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { launchChromium } from '../browser/support/chromium.js';
import { PASSWORD, runExample } from './run-example.js';

t.test('examples/spa stays logged in past the access lifetime, and ends one device from another', async (t) => {
  const url = await runExample(t, 'examples/spa/start.js');
  const chromium = await launchChromium();
  t.teardown(() => chromium.close());
  const open = async () => {
    const page = await (await chromium.newContext()).newPage();
    await page.goto(url);
    await page.getByLabel('Username').fill('grace');
    await page.getByLabel('Password').fill(PASSWORD);
    return page;
  };
  const here = await open();
  await here.getByRole('button', { name: 'Register' }).click();
  await here.getByText('Signed in as grace').waitFor();
  await sleep(2_500);
  await here.reload();
  await here.getByText('Signed in as grace').waitFor();

  const there = await open();
  await there.getByRole('button', { name: 'Log in' }).click();
  await there.getByText('Signed in as grace').waitFor();
  await there.getByRole('listitem').getByRole('button', { name: 'Log out' }).click();
  await here.getByText('This device was logged out using another device.').waitFor();
  t.equal(await here.getByText('Signed in as').isVisible(), false);

  await there.locator('#logout').click();
  await there.getByText('You are logged out.').waitFor();
  t.strictSame(await there.context().cookies(), []);
});
