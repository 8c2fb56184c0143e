import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { renderLayout } from '../../../src/http/pages/layout.js';
import { type Assets, loadAssets } from '../../../src/http/pages/load-assets.js';
import { stringsFor } from '../../../src/http/pages/strings.js';

const directory = mkdtempSync(join(tmpdir(), 'latchkey-assets-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const written = (name: string, text: string) => {
  writeFileSync(join(directory, name), text);
  return join(directory, name);
};
const client = written('client.js', 'export const createClient = 1;');
const versionOf = ({ files }: Assets) => files[0]!.path.split('/').at(-2);

t.test('with a built client, a page loads one script, which imports the client next to it', async (t) => {
  const assets = await loadAssets('/auth', { client });
  const { files, stylesheets, scripts } = assets;
  const at = (name: string) => `/auth/assets/${versionOf(assets)}/${name}`;
  t.strictSame(
    files.map(({ path }) => path),
    ['pages.css', 'pages.js', 'client.js'].map(at),
  );
  t.strictSame(stylesheets, [at('pages.css')]);
  t.strictSame(scripts, [at('pages.js')]);
  t.match(files[1]!.content.toString(), "from './client.js';");
  t.equal(files[2]!.content.toString(), 'export const createClient = 1;');
  t.equal(files[2]!.type, 'text/javascript; charset=utf-8');
  const page = renderLayout(
    { brand: { name: 'latchkey' }, assets, authPrefix: '/auth', loginPage: '/login', strings: stringsFor('en') },
    'A page',
    '',
  );
  t.match(
    page,
    `<link rel="stylesheet" href="${at('pages.css')}">\n<script type="module" src="${at('pages.js')}"></script>\n</head>`,
  );
});

t.test('without a built client, the assets contain no script', async (t) => {
  const { files, scripts } = await loadAssets('/auth', { client: join(directory, 'nowhere.js') });
  t.equal(files.length, 1);
  t.strictSame(scripts, []);
});

t.test('the asset path changes with every file, and with nothing else', async (t) => {
  const brandStylesheet = written('brand.css', ':root {}');
  const load = () => loadAssets('/auth', { client, brandStylesheet });
  const first = await load();
  t.strictSame(
    first.stylesheets.map((path) => path.split('/').at(-1)),
    ['pages.css', 'brand.css'],
  );
  t.strictSame(await load(), first);
  const versions = new Set([versionOf(first), versionOf(await loadAssets('/auth', { client }))]);
  written('brand.css', ':root { }');
  versions.add(versionOf(await load()));
  written('client.js', 'export const createClient = 2;');
  versions.add(versionOf(await load()));
  t.equal(versions.size, 4);
});

t.test('a missing brand stylesheet is an error when the assets are loaded', async (t) => {
  await t.rejects(loadAssets('/auth', { brandStylesheet: join(directory, 'none.css') }), { code: 'ENOENT' });
});
