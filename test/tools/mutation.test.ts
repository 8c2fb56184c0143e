import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

t.test('every folder and every pattern of the mutation tests matches files', async (t) => {
  const output = execFileSync(process.execPath, ['tools/mutation.mjs', '--list'], { cwd: ROOT, encoding: 'utf8' });
  const parts = JSON.parse(output) as Record<string, string[]>;
  t.ok(Object.keys(parts).length > 8);
  for (const part of Object.keys(parts)) t.ok(existsSync(`${ROOT}src/${part}`), part);
});
