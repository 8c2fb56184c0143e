import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { readPages, ROOT } from './pages.js';

const pages = readPages();

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

t.test('every relative link of a page leads to a file, and to a heading of it', async (t) => {
  let count = 0;
  for (const [page, markdown] of pages) {
    for (const [, target] of markdown.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^\w+:/.test(target!)) continue;
      count += 1;
      const [path, anchor] = target!.split('#') as [string, string | undefined];
      const file = path === '' ? page : normalize(join(dirname(page), path));
      t.ok(existsSync(ROOT + file), `${page}: ${target}`);
      if (anchor !== undefined) t.ok(anchorsOf(pages.get(file) ?? '').includes(anchor), `${page}: ${target}`);
    }
  }
  t.ok(count > 50, `${count} links`);
});

t.test('every file of src, test, tools or bench that a page names exists', async (t) => {
  const files = ['src', 'test', 'tools', 'bench'].flatMap((folder) =>
    readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
  );
  let count = 0;
  for (const [page, markdown] of pages) {
    const paths = markdown.matchAll(/`((?:src|test|tools|bench|docs|examples)\/[\w./-]*)`/g);
    for (const [, path] of paths) {
      count += 1;
      t.ok(existsSync(ROOT + path), `${page}: ${path}`);
    }
    for (const [, path] of markdown.matchAll(/`([\w/-]+\.(?:ts|mjs|lua))`/g)) {
      count += 1;
      t.ok(
        files.some((file) => `/${file}`.endsWith(`/${path}`)),
        `${page}: ${path}`,
      );
    }
  }
  t.ok(count > 50, `${count} names`);
});
