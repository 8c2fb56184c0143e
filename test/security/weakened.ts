import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, transform } from 'esbuild';
import type { startService } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LINKED = ['node_modules', 'package.json', 'redis.conf', 'users.acl'];

/** A change to a source file: text that occurs there exactly once, and its replacement. */
export type Edit = readonly [file: string, text: string, replacement: string];

/** A build of the service and of the test support, from a copy of the source. */
export interface Copy {
  directory: string;
  support: { startService: typeof startService };
}

/** Builds copies of the service without some of its defences, in a temporary directory that `clean` removes. */
export class Workshop {
  readonly #base: Promise<string>;
  #copies = 0;

  constructor() {
    this.#base = buildBase();
  }

  /** @throws when the text of an edit does not occur exactly once in its file, because the defence has moved. */
  async without(edits: readonly Edit[]): Promise<Copy> {
    const base = await this.#base;
    const directory = join(dirname(base), String(++this.#copies));
    await cp(base, directory, { recursive: true, verbatimSymlinks: true });
    const changed = new Map<string, string>();
    for (const [file, text, replacement] of edits) {
      const source = changed.get(file) ?? (await readFile(join(ROOT, file), 'utf8'));
      const pieces = source.split(text);
      if (pieces.length !== 2) throw new Error(`${file} contains this ${pieces.length - 1} times: ${text}`);
      changed.set(file, pieces.join(replacement));
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

async function buildBase(): Promise<string> {
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
