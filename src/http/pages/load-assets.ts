import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

const STYLESHEET = new URL('./assets/pages.css', import.meta.url);
const SCRIPT = new URL('./assets/pages.js', import.meta.url);
const CLIENT = new URL('../../client/index.js', import.meta.url);

export interface Asset {
  readonly path: string;
  readonly type: string;
  readonly content: Buffer;
}

/** What the pages load, under a path that changes with any of it: a page never mixes those of two versions. */
export interface Assets {
  readonly files: readonly Asset[];
  /** The paths of what a page names; a script imports its own from beside it. */
  readonly stylesheets: readonly string[];
  readonly scripts: readonly string[];
}

/**
 * Reads the files that the pages load.
 *
 * @param base the path that they lie below, such as `/auth`.
 * @param client the compiled browser client. Where there is none, in a source tree, the pages go without a script.
 */
export async function loadAssets(
  base: string,
  { brandStylesheet, client = CLIENT }: { brandStylesheet?: string | undefined; client?: URL | string } = {},
): Promise<Assets> {
  const isCompiled = existsSync(client);
  const stylesheets = new Map<string, URL | string>([['pages.css', STYLESHEET]]);
  if (brandStylesheet !== undefined) stylesheets.set('brand.css', brandStylesheet);
  const scripts = new Map<string, URL | string>(
    isCompiled
      ? [
          ['pages.js', SCRIPT],
          ['client.js', client],
        ]
      : [],
  );

  const files = await Promise.all([
    ...[...stylesheets].map(([name, file]) => asset(name, 'text/css; charset=utf-8', file)),
    ...[...scripts].map(([name, file]) => asset(name, 'text/javascript; charset=utf-8', file)),
  ]);
  const hash = createHash('sha256');
  for (const { name, content } of files) hash.update(`${name} ${content.length} `).update(content);
  const directory = `${base}/assets/${hash.digest('hex').slice(0, 16)}`;
  return {
    files: files.map(({ name, type, content }) => ({ path: `${directory}/${name}`, type, content })),
    stylesheets: [...stylesheets.keys()].map((name) => `${directory}/${name}`),
    scripts: isCompiled ? [`${directory}/pages.js`] : [],
  };
}

async function asset(name: string, type: string, file: URL | string) {
  return { name, type, content: await readFile(file) };
}
