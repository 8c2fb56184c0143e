// The files whose coverage is measured: all of src, and no tool or setting that the tests load besides.
import { readdirSync } from 'node:fs';

const sources = readdirSync(new URL('../src', import.meta.url), { recursive: true })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  .map((file) => `src/${file}`);

export default () => sources;
