import t from 'tap';
import { startBuiltService } from './support/built.js';
import { launchChromium } from './support/chromium.js';

t.test('/docs shows every operation, asks nobody else for anything and violates no policy', async (t) => {
  const service = await startBuiltService();
  t.teardown(() => service.close());
  const chromium = await launchChromium();
  t.teardown(() => chromium.close());
  const page = await (await chromium.newContext({ baseURL: service.url })).newPage();
  const complaints: string[] = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on(
    'request',
    (request) =>
      /^(data:|blob:)/.test(request.url()) ||
      request.url().startsWith(`${service.url}/`) ||
      complaints.push(request.url()),
  );
  page.on(
    'response',
    (response) => response.status() >= 400 && complaints.push(`${response.status()} ${response.url()}`),
  );
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
      console.error(`violates ${effectiveDirective}: ${blockedURI}`),
    );
  });

  const response = await page.goto('/docs');
  t.match(response!.headers()['content-security-policy'], "script-src 'self'");
  await page.locator('.opblock').first().waitFor();
  const { paths } = (await (await fetch(`${service.url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const shown = await page
    .locator('.opblock-summary')
    .evaluateAll((rows) =>
      rows.map(
        (row) =>
          `${row.querySelector('.opblock-summary-method')!.textContent} ${row.querySelector('[data-path]')!.getAttribute('data-path')}`,
      ),
    );
  t.ok(operations.length > 10);
  t.strictSame(shown.sort(), operations.sort());

  for (const operation of await page.locator('.opblock').all()) {
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('.responses-table').waitFor();
  }
  t.strictSame(complaints, []);
});
