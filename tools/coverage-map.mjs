// What coverage is asked of: all of src, and of no tool or setting that the tests load beside it.
import { readdirSync } from 'node:fs';

const sources = readdirSync(new URL('../src', import.meta.url), { recursive: true })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
  .map((file) => `src/${file}`);

export default () => sources;
