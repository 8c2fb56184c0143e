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

/** The files that pages load. Their common path contains a hash of all of them, so a page never mixes versions. */
export interface Assets {
  readonly files: readonly Asset[];
  /** Paths that a page refers to. A script imports others relative to its own path. */
  readonly stylesheets: readonly string[];
  readonly scripts: readonly string[];
}

/**
 * Reads the files that the pages load.
 *
 * @param authPrefix path that they are served below, such as `/auth`.
 * @param client the built browser client. If it has not been built, pages load no script.
 */
export async function loadAssets(
  authPrefix: string,
  { brandStylesheet, client = CLIENT }: { brandStylesheet?: string | undefined; client?: URL | string } = {},
): Promise<Assets> {
  const isBuilt = existsSync(client);
  const stylesheets = new Map<string, URL | string>([['pages.css', STYLESHEET]]);
  if (brandStylesheet !== undefined) stylesheets.set('brand.css', brandStylesheet);
  const scripts = new Map<string, URL | string>(
    isBuilt
      ? [
          ['pages.js', SCRIPT],
          ['client.js', client],
        ]
      : [],
  );

  const files = await Promise.all([
    ...[...stylesheets].map(([name, file]) => readAsset(name, 'text/css; charset=utf-8', file)),
    ...[...scripts].map(([name, file]) => readAsset(name, 'text/javascript; charset=utf-8', file)),
  ]);
  const hash = createHash('sha256');
  for (const { name, content } of files) hash.update(`${name} ${content.length} `).update(content);
  const directory = `${authPrefix}/assets/${hash.digest('hex').slice(0, 16)}`;
  return {
    files: files.map(({ name, type, content }) => ({ path: `${directory}/${name}`, type, content })),
    stylesheets: [...stylesheets.keys()].map((name) => `${directory}/${name}`),
    scripts: isBuilt ? [`${directory}/pages.js`] : [],
  };
}

async function readAsset(name: string, type: string, file: URL | string) {
  return { name, type, content: await readFile(file) };
}
