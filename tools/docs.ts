// Writes the pages under docs/ that are generated from the source.
import { writeFileSync } from 'node:fs';
import { configurationPage } from './configuration-page.js';
import { errorsPage } from './errors-page.js';

for (const [name, page] of Object.entries({ configuration: configurationPage, errors: errorsPage })) {
  writeFileSync(new URL(`../docs/${name}.md`, import.meta.url), page());
}
