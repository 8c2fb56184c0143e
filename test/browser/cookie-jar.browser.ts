import t from 'tap';
import { ACCESS_COOKIE, PASSWORD, REFRESH_COOKIE } from '../support/service.js';
import { startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';

t.test(
  'Chromium as a cookie jar: both cookies after a login, new ones after a refresh, none after a logout',
  async (t) => {
    const service = await startBuiltService();
    t.teardown(() => service.close());
    const chromium = await launchChromium();
    t.teardown(() => chromium.close());
    const context = await chromium.newContext({ baseURL: service.url });
    const page = await context.newPage();
    await page.goto('/login');

    const ask = (method: 'GET' | 'POST', path: string, body?: object) =>
      page.evaluate(
        async ({ method, path, body }) => {
          const headers = { 'content-type': 'application/json' };
          const { status } = await fetch(path, { method, ...(body && { headers, body: JSON.stringify(body) }) });
          return status;
        },
        { method, path, body },
      );
    const jar = async () => {
      const cookies = await context.cookies();
      return Object.fromEntries(cookies.map(({ name, path, value }) => [`${name} ${path}`, value]));
    };
    const [ACCESS, REFRESH] = [`${ACCESS_COOKIE} /`, `${REFRESH_COOKIE} /auth`];
    const credentials = { username: 'ada', password: PASSWORD };

    t.equal(await ask('POST', '/auth/register', credentials), 201);
    t.strictSame(await jar(), {});
    t.equal(await ask('POST', '/auth/login', credentials), 200);
    const first = await jar();
    t.strictSame(Object.keys(first).sort(), [ACCESS, REFRESH].sort());
    t.equal(await ask('GET', '/auth/session'), 200);

    t.equal(await ask('POST', '/auth/refresh'), 200);
    const second = await jar();
    t.strictSame(Object.keys(second).sort(), [ACCESS, REFRESH].sort(), 'in the place of the first ones');
    for (const name of [ACCESS, REFRESH]) t.not(second[name], first[name]);
    t.equal(await ask('GET', '/auth/session'), 200);

    t.equal(await ask('POST', '/auth/logout'), 204);
    t.strictSame(await jar(), {}, 'the jar is empty');
    t.equal(await ask('GET', '/auth/session'), 401);
  },
);
