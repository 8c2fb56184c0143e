import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, transform } from 'esbuild';
import type { startService } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LINKED = ['node_modules', 'package.json', 'redis.conf', 'users.acl'];

/** A change to a file of the source: the text that stands there once, and what is put in its place. */
export type Edit = readonly [file: string, stands: string, instead: string];

/** The service and what the tests start it with, built from a copy of the source. */
export interface Copy {
  directory: string;
  support: { startService: typeof startService };
}

/** Builds copies of the service with a defence taken out, in a directory of their own that `clean` removes. */
export class Workshop {
  readonly #base: Promise<string>;
  #copies = 0;

  constructor() {
    this.#base = compiled();
  }

  /** @throws when what an edit is to replace does not stand in its file exactly once: the defence has moved. */
  async without(edits: readonly Edit[]): Promise<Copy> {
    const base = await this.#base;
    const directory = join(dirname(base), String(++this.#copies));
    await cp(base, directory, { recursive: true, verbatimSymlinks: true });
    const changed = new Map<string, string>();
    for (const [file, stands, instead] of edits) {
      const source = changed.get(file) ?? (await readFile(join(ROOT, file), 'utf8'));
      const pieces = source.split(stands);
      if (pieces.length !== 2) throw new Error(`${file} holds this ${pieces.length - 1} times: ${stands}`);
      changed.set(file, pieces.join(instead));
    }
    for (const [file, source] of changed) {
      const isTypeScript = file.endsWith('.ts');
      const code = isTypeScript ? (await transform(source, { loader: 'ts', target: 'es2023' })).code : source;
      await writeFile(join(directory, isTypeScript ? file.replace(/ts$/, 'js') : file), code);
    }
    const support = (await import(pathToFileURL(join(directory, 'test/support/service.js')).href)) as Copy['support'];
    return { directory, support };
  }

  async clean(): Promise<void> {
    await rm(dirname(await this.#base), { recursive: true });
  }
}

async function compiled(): Promise<string> {
  const base = join(await mkdtemp(join(tmpdir(), 'latchkey-weakened-')), 'base');
  await mkdir(base);
  await cp(join(ROOT, 'src'), join(base, 'src'), { recursive: true, filter: (file) => !file.endsWith('.ts') });
  await build({
    entryPoints: ['src/**/*.ts', 'test/support/**/*.ts'].map((pattern) => join(ROOT, pattern)),
    outdir: base,
    outbase: ROOT,
    format: 'esm',
    platform: 'node',
    target: 'es2023',
  });
  await Promise.all(LINKED.map((name) => symlink(join(ROOT, name), join(base, name))));
  return base;
}
