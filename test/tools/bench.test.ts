import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const scripts = readdirSync(`${ROOT}bench`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.mjs') && !path.includes('node_modules'))
  .map((path) => ({ path, source: readFileSync(`${ROOT}bench/${path}`, 'utf8') }));

async function exportsOf(module: string): Promise<string[]> {
  return Object.keys((await import(`../../src/${module}`)) as object);
}

t.test('src exports every name that the benchmark imports from dist', async (t) => {
  let count = 0;
  for (const { path, source } of scripts) {
    for (const [, names, module] of source.matchAll(/import \{([^}]+)\} from '[./]+dist\/([^']+)'/g)) {
      const exported = await exportsOf(module!);
      for (const name of names!.split(',').map((each) => each.trim())) {
        count += 1;
        t.ok(exported.includes(name), `bench/${path}: ${name} of ${module}`);
      }
    }
  }
  t.ok(count > 5, `${count} names`);
});

t.test('the lookups that the benchmark replaces have the exports of the real ones', async (t) => {
  const { source } = scripts.find(({ path }) => path === 'contenders/one-get.mjs')!;
  const names = await exportsOf('sessions/lookup.js');
  t.ok(names.length > 0);
  for (const name of names) t.match(source, `export const ${name} = `);
});
