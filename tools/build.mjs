// Compiles src to dist and puts the files beside it that are read at run time: Lua, word lists, styles.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const tsc = path.join(root, 'node_modules/typescript/bin/tsc');

rmSync(path.join(root, 'dist'), { recursive: true, force: true });
const compile = (...args) => execFileSync(process.execPath, [tsc, ...args], { cwd: root, stdio: 'inherit' });
compile('-p', 'tsconfig.build.json');
compile('-p', 'src/client', '--noEmit', 'false');
cpSync(path.join(root, 'src'), path.join(root, 'dist'), {
  recursive: true,
  filter: (file) => !/\.ts$|tsconfig\.json$/.test(file),
});
