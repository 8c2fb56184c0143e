import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import t from 'tap';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Only our own rules: the ones that ask the compiler want each file to exist. */
const OURS = ['latchkey/import-floors', 'no-restricted-properties', 'no-restricted-imports'];
const eslint = new ESLint({ cwd: root, ruleFilter: ({ ruleId }) => OURS.includes(ruleId), overrideConfig: { languageOptions: { parserOptions: { projectService: false } } } });

async function objectionsTo(path: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: path });
  return result!.messages.map(({ ruleId, message }) => `${ruleId}: ${message}`);
}

t.test('imports run down the floors', async (t) => {
  for (const [path, specifier] of [
    ['main.ts', './app.js'],
    ['main.ts', './config.js'],
    ['app.ts', './config.js'],
    ['app.ts', './plugin.js'],
    ['plugin.ts', './http/routes/index.js'],
    ['http/routes/refresh.ts', '../../sessions/store.js'],
    ['http/routes/refresh.ts', '../cookies.js'],
    ['http/refresh.ts', 'fastify'],
    ['sessions/store.ts', '../redis/script.js'],
    ['sessions/store.ts', './token.js'],
    ['identity/users.ts', '../errors.js'],
    ['redis/connect.ts', 'ioredis'],
    ['config.ts', './redis/connect.js'],
    ['config.ts', 'node:fs'],
  ]) {
    t.strictSame(await objectionsTo(`src/${path}`, `import '${specifier}';`), [], `${path} may import ${specifier}`);
  }
});

t.test('an import that runs up, or across, is reported', async (t) => {
  for (const [path, specifier] of [
    ['sessions/store.ts', '../identity/users.js'],
    ['identity/users.ts', '../sessions/store.js'],
    ['identity/scripts/deeper.ts', '../../sessions/store.js'],
    ['redis/connect.ts', '../sessions/store.js'],
    ['errors.ts', './redis/fault.js'],
    ['sessions/store.ts', '../http/cookies.js'],
    ['sessions/store.ts', 'fastify'],
    ['identity/users.ts', '@fastify/cookie'],
    ['redis/connect.ts', 'node:http'],
    ['http/refresh.ts', '../plugin.js'],
    ['plugin.ts', './app.js'],
    ['app.ts', './main.js'],
    ['cli.ts', './main.js'],
    ['plugin.ts', './config.js'],
    ['http/refresh.ts', '../config.js'],
    ['sessions/store.ts', '../config.js'],
    ['config.ts', './sessions/store.js'],
    ['client/index.ts', '../errors.js'],
    ['client/index.ts', 'fastify'],
    ['http/refresh.ts', '../client/index.js'],
    ['app.ts', '../test/support/redis.js'],
  ]) {
    for (const code of [`import '${specifier}';`, `import type { X } from '${specifier}';`, `export * from '${specifier}';`, `export { x } from '${specifier}';`, `await import('${specifier}');`]) {
      t.match(await objectionsTo(`src/${path}`, code), [/^latchkey\/import-floors: /], `${path}: ${code}`);
    }
  }
});

t.test('every part of src has a floor', async (t) => {
  for (const entry of readdirSync(`${root}src`, { withFileTypes: true })) {
    const path = entry.isDirectory() ? `src/${entry.name}/index.ts` : `src/${entry.name}`;
    t.strictSame(await objectionsTo(path, ''), [], path);
  }
  t.match(await objectionsTo('src/helpers/index.ts', ''), [/src\/helpers has no floor/]);
});

t.test('the environment is read by main and cli alone', async (t) => {
  for (const code of ['process.env.PORT;', 'const { env } = process;', "process['env'];"]) {
    for (const path of ['src/config.ts', 'src/app.ts', 'src/sessions/store.ts']) {
      t.match(await objectionsTo(path, code), [/^no-restricted-properties: /], `${path}: ${code}`);
    }
    t.strictSame(await objectionsTo('src/main.ts', code), []);
    t.strictSame(await objectionsTo('src/cli.ts', code), []);
  }
  t.match(await objectionsTo('src/app.ts', "import { env } from 'node:process';"), [/^no-restricted-imports: /]);
});
