import { readFileSync } from 'node:fs';
import t from 'tap';
import { type Variable, variables } from '../../src/server/config/variables.js';
import { configurationPage } from '../../tools/configuration-page.js';

t.test('docs/configuration.md is what npm run docs writes', async (t) => {
  t.equal(readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8'), configurationPage());
});

t.test('docs/configuration.md has a row for each variable, with its default or what unset means', async (t) => {
  const rows = configurationPage()
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const all: Variable[] = Object.values(variables);
  t.ok(all.length > 30);
  t.equal(rows.length, all.length);
  for (const [index, { name, default: value, unset }] of all.entries()) {
    t.ok((value === undefined) !== (unset === undefined), `${name} has a default or a meaning of unset, not both`);
    t.ok(
      rows[index]?.startsWith(`| \`${name}\` | ${value === undefined ? `unset: ${unset}` : `\`${value}\``} |`),
      name,
    );
  }
});
