// npm run bench -- [measure …] [--quick] [--only a,b]: see docs/performance.md.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } },
});

if (!isInstalled()) execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' });
execFileSync(process.execPath, ['tools/build.mjs'], { cwd: root, stdio: 'inherit' });

const { CannotRunError } = await import('./lib/machine.mjs');
const { main } = await import('./main.mjs');
try {
  await main({ names: positionals, quick: values.quick, only: values.only?.split(',') });
  process.exit();
} catch (error) {
  if (!(error instanceof CannotRunError)) throw error;
  console.error(error.message);
  process.exit(1);
}

function isInstalled() {
  const installed = `${here}node_modules/.package-lock.json`;
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(`${here}package-lock.json`).mtimeMs;
}
