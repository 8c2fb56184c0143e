import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import t from 'tap';

const root = new URL('../../', import.meta.url);
const text = await readFile(new URL('docs/security.md', root), 'utf8');

/** Finds the file of a test by its path under test/ without the extension. */
function findTestFile(path: string): URL {
  const candidates = [`test/${path}.test.ts`, `test/${path}.ts`].map((name) => new URL(name, root));
  return candidates.find((file) => existsSync(file)) ?? candidates[0]!;
}

t.test('every test that docs/security.md names exists', async (t) => {
  const named = [
    ...new Set([...text.matchAll(/`([\w./-]+) › ([^`]+)`/g)].map(([, path, title]) => `${path} › ${title}`)),
  ];
  t.ok(named.length > 50);
  for (const name of named) {
    const [path = '', title = ''] = name.split(' › ');
    const file = await readFile(findTestFile(path), 'utf8').catch(() => '');
    const source = file.replaceAll("\\'", "'").replace(/\btest\(\s+/g, 'test(');
    t.ok(
      ["'", '"', '`'].some((quote) => source.includes(`test(${quote}${title}${quote}`)),
      name,
    );
  }
});

t.test('every requirement says how it is met, and names its test or a dash', async (t) => {
  const rows = text
    .slice(text.indexOf('## Requirements'))
    .split('\n')
    .filter((line) => /^\| (\d+\.\d|[a-z].* \| .* \| (`|–))/.test(line));
  t.ok(rows.length > 90);
  for (const row of rows) {
    const cells = row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim());
    t.ok(cells.length >= 3 && cells.every((cell) => cell !== ''), row.slice(0, 60));
    t.match(cells.at(-1), /^(`[^`]+ › [^`]+`(, `[^`]+ › [^`]+`)*|–)$/, row.slice(0, 60));
  }
});

t.test('each item of the covered chapters of OWASP ASVS is listed once', async (t) => {
  const counts = {
    '3.3': 5,
    '3.4': 8,
    '3.5': 8,
    '6.2': 12,
    '6.3': 8,
    '7.1': 3,
    '7.2': 4,
    '7.3': 2,
    '7.4': 5,
    '7.5': 3,
    '7.6': 2,
    '10.3': 5,
    '10.4': 16,
  };
  const asvs = text.slice(text.indexOf('### OWASP ASVS'), text.indexOf('### RFC 6750'));
  for (const [section, count] of Object.entries(counts)) {
    const items = [...asvs.matchAll(/^\| (\d+\.\d+)\.(\d+) \|/gm)]
      .filter(([, each]) => each === section)
      .map(([, , item]) => Number(item));
    t.same(
      items,
      Array.from({ length: count }, (_, i) => i + 1),
      section,
    );
  }
});
