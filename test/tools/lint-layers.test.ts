import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What dependency-cruiser objects to in a copy of src that holds these files too; each imports one module. */
async function violationsWith(files: Record<string, string>): Promise<{ violations: string[]; failed: boolean }> {
  const copy = await mkdtemp(join(tmpdir(), 'latchkey-layers-'));
  try {
    await cp(join(root, 'src'), join(copy, 'src'), { recursive: true });
    for (const name of ['.dependency-cruiser.mjs', 'tsconfig.json', 'package.json'])
      await cp(join(root, name), join(copy, name));
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    for (const [path, code] of Object.entries(files)) {
      await mkdir(dirname(join(copy, path)), { recursive: true });
      await writeFile(join(copy, path), code);
    }
    const { code, stdout } = await depcruise(copy);
    const violations = [...stdout.matchAll(/^ *error (\S+: \S+)/gm)].map(([, violation]) => violation!);
    return { violations, failed: code !== 0 };
  } finally {
    await rm(copy, { recursive: true });
  }
}

function depcruise(cwd: string): Promise<{ code: number; stdout: string }> {
  const program = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, 'src', '--preserve-symlinks'],
      { cwd, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout) => resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout }),
    );
  });
}

const IMPORTS: readonly (readonly [rule: string, file: string, specifier: string])[] = [
  ['no-neighbour-import', 'src/http/auth/offender.ts', '../pages/index.js'],
  ['no-neighbour-import', 'src/http/oidc/offender.ts', '../auth/continue.js'],
  ['no-neighbour-import', 'src/http/openapi/offender.ts', '../oauth/clients.js'],
  ['no-neighbour-import', 'src/sessions/offender.ts', '../identity/password-hasher.js'],
  ['no-neighbour-import', 'src/identity/deeper/offender.ts', '../../sessions/store.js'],
  ['no-neighbour-import', 'src/webhooks/offender.ts', '../sessions/session.js'],
  ['no-upward-import', 'src/http/flows/offender.ts', '../auth/index.js'],
  ['no-upward-import', 'src/http/kit/offender.ts', '../flows/services.js'],
  ['no-upward-import', 'src/sessions/offender.ts', '../http/kit/problem.js'],
  ['no-upward-import', 'src/redis/offender.ts', '../sessions/token.js'],
  ['no-upward-import', 'src/options.ts', './redis/keys.js'],
  ['no-upward-import', 'src/http/auth/offender.ts', '../../server/config/load.js'],
  ['no-upward-import', 'src/check.ts', './server/serve.js'],
  ['no-upward-import', 'src/http/auth/offender.ts', '../../client/index.js'],
  ['no-http-below-kit', 'src/sessions/offender.ts', 'fastify'],
  ['no-http-below-kit', 'src/identity/offender.ts', '@fastify/cookie'],
  ['no-http-below-kit', 'src/redis/offender.ts', 'node:http'],
  ['client-stands-alone', 'src/client/offender.ts', '../errors.js'],
  ['client-stands-alone', 'src/client/offender.ts', 'ioredis'],
  ['no-folder-without-layer', 'src/helpers/offender.ts', '../errors.js'],
  ['src-stands-alone', 'src/sessions/offender.ts', '../../package.json'],
];

/** Every way to write an import; a type alone counts too. */
const SPELLINGS = [
  (specifier: string) => `import '${specifier}';`,
  (specifier: string) => `import type { X } from '${specifier}';`,
  (specifier: string) => `export * from '${specifier}';`,
  (specifier: string) => `export { x } from '${specifier}';`,
  (specifier: string) => `await import('${specifier}');`,
  (specifier: string) => `export type X = import('${specifier}').X;`,
];

t.test('npm run lint accepts every import of src', async (t) => {
  t.strictSame(await violationsWith({}), { violations: [], failed: false });
});

for (const [index, spelled] of SPELLINGS.entries()) {
  t.test(`npm run lint rejects imports that break the layers, written ${spelled('…')}`, async (t) => {
    const files: Record<string, string> = {};
    const expected = IMPORTS.map(([rule, file, specifier], place) => {
      const path = file.replace('offender', `offender-${index}-${place}`);
      files[path] = spelled(specifier);
      return `${rule}: ${path}`;
    });
    const { violations, failed } = await violationsWith(files);
    t.ok(failed, 'lint fails');
    for (const violation of expected) t.ok(violations.includes(violation), violation);
  });
}

t.test('npm run lint rejects a file without a layer that neither imports nor is imported', async (t) => {
  const { violations, failed } = await violationsWith({
    'src/helpers/index.ts': 'export const x = 1;',
    'src/http/helpers/index.ts': 'export const x = 1;',
    'src/stray.ts': 'export const x = 1;',
  });
  t.ok(failed, 'lint fails');
  for (const file of ['src/helpers/index.ts', 'src/http/helpers/index.ts', 'src/stray.ts'])
    t.ok(violations.includes(`no-folder-without-layer: ${file}`), file);
});

t.test('npm run lint rejects a cycle, even of types alone', async (t) => {
  const { violations, failed } = await violationsWith({
    'src/sessions/cycle-a.ts': `import type { B } from './cycle-b.js'; export type A = B;`,
    'src/sessions/cycle-b.ts': `import type { A } from './cycle-a.js'; export type B = A;`,
  });
  t.ok(failed, 'lint fails');
  t.ok(violations.includes('no-cycle: src/sessions/cycle-a.ts'), violations.join());
});

/** The objections of some rules of eslint.config.js to code at a path. Rules that ask the compiler want the file to exist. */
function createLint(...rules: string[]): (path: string, code: string) => Promise<string[]> {
  const eslint = new ESLint({
    cwd: root,
    ruleFilter: ({ ruleId }) => rules.includes(ruleId),
    overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
  });
  return async (path, code) => {
    const [result] = await eslint.lintText(code, { filePath: path });
    return result!.messages.map(({ ruleId, message }) => `${ruleId}: ${message}`);
  };
}

t.test('only main reads the environment', async (t) => {
  const objectionsTo = createLint('no-restricted-properties', 'no-restricted-imports');
  for (const code of ['process.env.PORT;', 'const { env } = process;', "process['env'];"]) {
    for (const path of ['src/server/config/load.ts', 'src/server/apps.ts', 'src/sessions/store.ts']) {
      t.match(await objectionsTo(path, code), [/^no-restricted-properties: /], `${path}: ${code}`);
    }
    t.strictSame(await objectionsTo('src/server/main.ts', code), []);
  }
  t.match(await objectionsTo('src/server/apps.ts', "import { env } from 'node:process';"), [
    /^no-restricted-imports: /,
  ]);
});

const MAX_LINES = 300;
const MAX_COLUMNS = 120;

/** Lines of a Lua script that are too long, and the file itself if it has too many lines. */
function findLuaExcesses(path: string, code: string): string[] {
  const lines = code.trimEnd().split('\n');
  const long = lines.flatMap((line, i) =>
    line.length > MAX_COLUMNS ? [`${path}:${i + 1}: ${line.length} columns`] : [],
  );
  return lines.length > MAX_LINES ? [...long, `${path}: ${lines.length} lines`] : long;
}

t.test('npm run lint refuses a file of src of 301 lines and a line of 121 columns', async (t) => {
  const objectionsTo = createLint('max-lines', 'max-len');
  const linesOf = (count: number) => 'export {};\n'.repeat(count);
  t.strictSame(await objectionsTo('src/offender.ts', linesOf(MAX_LINES)), []);
  t.match(await objectionsTo('src/offender.ts', linesOf(MAX_LINES + 1)), [/^max-lines: /]);
  t.match(await objectionsTo('src/offender.ts', '// why\n'.repeat(MAX_LINES + 1)), [/^max-lines: /]);

  const wide = (columns: number) => [
    `const a = ${'1'.repeat(columns - 11)};`,
    `// ${'x'.repeat(columns - 3)}`,
    `/** ${'x'.repeat(columns - 7)} */`,
    `const a = '${'x'.repeat(columns - 13)}';`,
    `const a = /${'x'.repeat(columns - 13)}/;`,
    `// https://${'x'.repeat(columns - 11)}`,
    `const a = \`${'x'.repeat(columns - 13)}\`;`,
  ];
  for (const code of wide(MAX_COLUMNS)) t.strictSame(await objectionsTo('src/offender.ts', code), [], code);
  for (const code of wide(MAX_COLUMNS + 1)) t.match(await objectionsTo('src/offender.ts', code), [/^max-len: /], code);
});

t.test('no Lua script of src has more than 300 lines or 120 columns', async (t) => {
  t.strictSame(findLuaExcesses('a.lua', `${'-'.repeat(MAX_COLUMNS)}\n`.repeat(MAX_LINES)), []);
  t.strictSame(findLuaExcesses('a.lua', '-'.repeat(MAX_COLUMNS + 1)), ['a.lua:1: 121 columns']);
  t.strictSame(findLuaExcesses('a.lua', 'a()\n'.repeat(MAX_LINES + 1)), ['a.lua: 301 lines']);
  const scripts = (await readdir(join(root, 'src'), { recursive: true })).filter((name) => name.endsWith('.lua'));
  t.ok(scripts.length > 10, `${scripts.length} scripts`);
  for (const script of scripts)
    t.strictSame(findLuaExcesses(script, await readFile(join(root, 'src', script), 'utf8')), []);
});
