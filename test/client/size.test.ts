import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

t.test('the client bundles into one file under 3 kB that imports nothing', async (t) => {
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    metafile: true,
  });
  const size = gzipSync(outputFiles[0]!.contents).length;
  t.comment(`${size} bytes minified and gzipped`);
  t.ok(size < 3_000, `${size} bytes`);
  const inputs = Object.keys(metafile.inputs);
  t.ok(inputs.includes('src/client/index.ts'));
  t.strictSame(
    inputs.filter((path) => !path.startsWith('src/client/')),
    [],
    'it bundles only its own files',
  );
  t.equal(outputFiles.length, 1);
  t.strictSame(Object.values(metafile.outputs)[0]!.imports, []);
});
