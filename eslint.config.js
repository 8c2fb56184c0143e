import path from 'node:path';
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const root = import.meta.dirname;

/** The floors of src, ground first. A part imports what lies below it, never its neighbour on the same floor. */
const floors = [['errors', 'admin-scope', 'local-host'], ['redis', 'token-key'], ['sessions', 'identity', 'webhooks'], ['http'], ['plugin', 'check', 'testing'], ['app', 'index'], ['serve'], ['workers'], ['main', 'cli']];
const configReaders = ['app', 'main', 'cli'];
const http = /^(fastify|fastify-plugin|@fastify\/.+|(node:)?https?2?)$/;

const floorOf = (part) => floors.findIndex((parts) => parts.includes(part));

/** `src/http/routes/login.ts` belongs to the part `http`, `src/app.ts` to `app`; what is outside src to none. */
function partOf(file) {
  const [source, part] = path.relative(root, file).split(path.sep);
  return source === 'src' ? part.replace(/\.[jt]s$/, '') : undefined;
}

/** Why `part` may not import `specifier`, which leads to the part `target` if it is a path. */
function objection(part, specifier, target) {
  if (specifier.startsWith('.') && target === undefined) return 'src imports nothing from outside it';
  if (part === target) return undefined;
  if (part === 'client') return 'src/client imports nothing';
  if (target === 'client') return 'src/client is for browsers';
  if (target === 'config') return configReaders.includes(part) ? undefined : 'config is read by app, main and cli alone';
  if (part === 'config') {
    return target === undefined || floorOf(target) <= floorOf('redis') ? undefined : 'config imports only redis and what lies below it';
  }
  if (target === undefined) {
    const belowHttp = floorOf(part) < floorOf('http');
    return belowHttp && http.test(specifier) ? `src/${part} knows nothing of HTTP` : undefined;
  }
  return floorOf(target) < floorOf(part) ? undefined : `src/${part} does not lie above src/${target}`;
}

const importFloors = {
  meta: { type: 'problem', schema: [], messages: { floor: '{{why}} (the floors of ARCHITECTURE.md)' } },
  create(context) {
    const part = partOf(context.filename);
    const report = (node, why) => context.report({ node, messageId: 'floor', data: { why } });

    function check({ source }) {
      if (typeof source?.value !== 'string') return;
      const specifier = source.value;
      const target = specifier.startsWith('.') ? partOf(path.resolve(path.dirname(context.filename), specifier)) : undefined;
      const why = objection(part, specifier, target);
      if (why !== undefined) report(source, why);
    }

    return {
      Program(node) {
        if (floorOf(part) === -1 && part !== 'config' && part !== 'client') report(node, `src/${part} has no floor`);
      },
      ImportDeclaration: check,
      ImportExpression: check,
      ExportAllDeclaration: check,
      ExportNamedDeclaration: check,
    };
  },
};

export default defineConfig(
  { ignores: ['dist/', 'coverage/', '.tap/', '.latchkey/', 'bench/', 'examples/'] },
  eslint.configs.recommended,
  { languageOptions: { globals: { process: 'readonly', console: 'readonly', fetch: 'readonly', URL: 'readonly' } } },
  {
    files: ['src/http/pages/assets/*.js'],
    languageOptions: { globals: { document: 'readonly', location: 'readonly', navigator: 'readonly', addEventListener: 'readonly', URLSearchParams: 'readonly' } },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    rules: {
      // A pattern proves what the compiler cannot see, such as a group that always matches.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      // Fastify awaits what is async even where nothing is awaited inside.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { latchkey: { rules: { 'import-floors': importFloors } } },
    rules: {
      'latchkey/import-floors': 'error',
      'no-console': 'error',
      'no-restricted-imports': ['error', { paths: ['process', 'node:process'] }],
    },
  },
  {
    files: ['src/**/*.ts'],
    // What find-server.ts starts is handed a part of it.
    ignores: ['src/main.ts', 'src/cli.ts', 'src/redis/find-server.ts'],
    rules: {
      'no-restricted-properties': ['error', { object: 'process', property: 'env', message: 'The environment is read by config, handed to it by main and cli.' }],
    },
  },
  {
    files: ['src/main.ts', 'src/cli.ts', 'src/serve.ts', 'src/testing.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // tap waits for its own subtests, and JSON answers are judged by the assertions.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: [{ from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' }] }],
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
);
