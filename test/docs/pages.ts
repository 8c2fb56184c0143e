import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Every Markdown page of the repository, by its path: of the root, docs/ and examples/. */
export function readPages(): Map<string, string> {
  const paths = [
    ...readdirSync(ROOT),
    ...['docs', 'examples'].flatMap((folder) =>
      readdirSync(ROOT + folder, { recursive: true, encoding: 'utf8' }).map((path) => `${folder}/${path}`),
    ),
  ];
  return new Map(
    paths
      .filter((path) => path.endsWith('.md') && !path.includes('node_modules'))
      .map((path) => [path, readFileSync(ROOT + path, 'utf8')]),
  );
}
