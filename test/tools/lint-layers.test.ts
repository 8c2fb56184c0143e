import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execFile } from 'node:child_process';
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

t.test('npm run lint rejects a cycle, even of types alone', async (t) => {
  const { violations, failed } = await violationsWith({
    'src/sessions/cycle-a.ts': `import type { B } from './cycle-b.js'; export type A = B;`,
    'src/sessions/cycle-b.ts': `import type { A } from './cycle-a.js'; export type B = A;`,
  });
  t.ok(failed, 'lint fails');
  t.ok(violations.includes('no-cycle: src/sessions/cycle-a.ts'), violations.join());
});

t.test('only main reads the environment', async (t) => {
  /** Only our own rules: the ones that ask the compiler want each file to exist. */
  const eslint = new ESLint({
    cwd: root,
    ruleFilter: ({ ruleId }) => ['no-restricted-properties', 'no-restricted-imports'].includes(ruleId),
    overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
  });
  async function objectionsTo(path: string, code: string): Promise<string[]> {
    const [result] = await eslint.lintText(code, { filePath: path });
    return result!.messages.map(({ ruleId, message }) => `${ruleId}: ${message}`);
  }
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
