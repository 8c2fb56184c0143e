import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import t from 'tap';

const CLIENT = fileURLToPath(new URL('../../src/client/index.ts', import.meta.url));

t.test('the client imports nothing and stays under 3 kB', async (t) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [CLIENT],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    metafile: true,
    external: ['*'],
  });
  const size = gzipSync(outputFiles[0]!.contents).length;
  t.comment(`${size} bytes minified and gzipped`);
  t.ok(size < 3_000, `${size} bytes`);
  t.equal(Object.keys(metafile.inputs).length, 1);
  t.strictSame(Object.values(metafile.outputs)[0]!.imports, []);
});
