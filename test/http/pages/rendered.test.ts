import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { renderedPages } from '../../../tools/rendered-pages.js';

const DIRECTORY = new URL('rendered/', import.meta.url);

t.test('every page in every language equals the file that npm run docs wrote', async (t) => {
  const pages = renderedPages();
  t.strictSame(readdirSync(DIRECTORY).sort(), Object.keys(pages).sort());
  for (const [name, page] of Object.entries(pages)) t.equal(page, readFileSync(new URL(name, DIRECTORY), 'utf8'), name);
});

t.test('text in a page is never interpreted as HTML', async (t) => {
  for (const [name, page] of Object.entries(renderedPages())) t.notMatch(page, /<script>|value="[^"]*'/, name);
});
