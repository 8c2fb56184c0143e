// Writes the pages under docs/ that are generated from the source.
import { writeFileSync } from 'node:fs';
import { configurationPage } from './configuration-page.js';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configurationPage());
