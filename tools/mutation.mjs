// npm run test:mutation -- [--short | --list | part …]: changes the source a little, thousands of times over, and counts
// how often a test notices. What has not changed since the last run is not run again: its results are kept in
// reports/mutation. --list prints the parts with their tests, and runs nothing.
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { Stryker } from '@stryker-mutator/core';
import { buildSync } from 'esbuild';

const MIN_SCORE = 85;

/** Notices every change to what is documented. */
const DOCUMENTED = 'test/docs/openapi.test.ts';

/**
 * Folders of src, each with the tests that should notice a change: the quickest first, since the first failure ends the
 * search. Every change to a file that is loaded by all tests runs all of them, so tests that take long are left out.
 */
const PARTS = {
  sessions: ['test/sessions/{data,update,token,store,authenticator,out-of-memory,durability,cluster}.test.ts'],
  identity: [
    'test/identity/{network,password-policy,username,password-hasher,directory,registration,passwords}.test.ts',
    'test/http/oidc/*.test.ts',
    'test/identity/{search,throttle}.test.ts',
  ],
  federation: ['test/http/oidc/*.test.ts'],
  'http/kit': [
    'test/http/kit/*.test.ts',
    DOCUMENTED,
    'test/security/{cookies,malformed,headers,proxies}.test.ts',
    'test/http/auth/{sessions,login,logout,refresh}.test.ts',
  ],
  'http/flows': [
    'test/http/flows/*.test.ts',
    DOCUMENTED,
    'test/http/auth/*.test.ts',
    'test/security/{fixation,step-up,delegated}.test.ts',
    'test/plugin/{host,plugin}.test.ts',
    'test/http/oidc/*.test.ts',
  ],
  'http/openapi': [DOCUMENTED, 'test/http/openapi/document.test.ts'],
  'http/auth': [
    DOCUMENTED,
    'test/http/auth/*.test.ts',
    'test/security/{fixation,routes,step-up,delegated}.test.ts',
    'test/http/oidc/*.test.ts',
  ],
  'http/oauth': [DOCUMENTED, 'test/http/oauth/*.test.ts', 'test/clients/*.test.ts'],
  'http/oidc': [DOCUMENTED, 'test/http/oidc/*.test.ts'],
  'http/admin': [DOCUMENTED, 'test/http/admin/*.test.ts'],
  'http/pages': ['test/http/pages/{rendered,strings,load-assets,register,login,account,frame}.test.ts'],
};

/** One file and its test, for CI: takes seconds, and shows that mutation testing still works. */
const SHORT = { 'identity/network.ts': ['test/identity/network.test.ts'] };

const [option, ...rest] = process.argv.slice(2);
const isShort = option === '--short';
const testsOf = isShort ? SHORT : PARTS;
assertPatternsMatch();
if (option === '--list') {
  console.log(JSON.stringify(PARTS, null, 2));
  process.exit();
}
const parts = isShort || option === undefined ? rest : [option, ...rest];
const unknown = parts.find((part) => !(part in testsOf));
if (unknown !== undefined) {
  console.error(`There is no part ${unknown}: ${Object.keys(testsOf).join(', ')}`);
  process.exit(1);
}

copyWithCompiledTests('reports/mutation/project');
const scores = [];
for (const part of parts.length > 0 ? parts : Object.keys(testsOf)) {
  scores.push({ part, ...scoreOf(await runMutations(part)) });
}
console.table(scores);
if (scores.some(({ score }) => score < MIN_SCORE)) {
  console.error(`Tests must notice at least ${MIN_SCORE} % of the changes.`);
  process.exitCode = 1;
}

/** Throws if a folder or a pattern of the tests matches no file: a test that moved would silently notice nothing. */
function assertPatternsMatch() {
  for (const [part, patterns] of Object.entries({ ...PARTS, ...SHORT })) {
    for (const pattern of [part.endsWith('.ts') ? `src/${part}` : `src/${part}/*.ts`, ...patterns]) {
      for (const each of expandBraces(pattern)) {
        if (!matchesFile(each)) throw new Error(`${part}: no file matches ${each}`);
      }
    }
  }
}

function expandBraces(pattern) {
  const [, before, choices, after] = /^(.*)\{(.*)\}(.*)$/.exec(pattern) ?? [];
  return choices === undefined ? [pattern] : choices.split(',').map((choice) => before + choice + after);
}

/** Whether a file matches a pattern whose only wildcard is a `*` before the extension. */
function matchesFile(pattern) {
  const [folder, ...names] = [dirname(pattern), ...readdirSync(dirname(pattern))];
  if (!pattern.includes('*')) return names.some((name) => join(folder, name) === pattern);
  return names.some((name) => name.endsWith(pattern.split('*')[1]));
}

/** Compiles once, not in each of the thousands of processes. From these files Stryker tells what changed since its last run. */
function copyWithCompiledTests(directory) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const copied = readdirSync('.').filter((name) =>
    /^(src|test|tools|docs|package\.json|tsconfig.*\.json|.*\.conf|.*\.acl)$/.test(name),
  );
  for (const name of copied) cpSync(name, `${directory}/${name}`, { recursive: true });
  process.chdir(directory);
  buildSync({
    absWorkingDir: process.cwd(),
    entryPoints: ['test/**/*.ts', 'tools/*.ts'],
    outdir: '.',
    outbase: '.',
    format: 'esm',
    target: 'node20',
  });
}

function runMutations(part) {
  // The browser's scripts stay as they are: the tests compile them themselves.
  const rooms = readdirSync('src').filter((name) => !name.includes('.') && name !== 'client');
  const sources = ['src/*.ts', ...rooms.map((room) => `src/${room}/**/*.ts`)];
  return new Stryker({
    testRunner: 'tap',
    tap: {
      testFiles: testsOf[part].map((files) => files.replace(/\.ts$/, '.js')),
      nodeArgs: ['--require', '{{hookFile}}', '{{testFile}}'],
    },
    buildCommand: `esbuild ${sources.join(' ')} --outdir=. --outbase=. --format=esm --target=node20 --log-level=error`,
    mutate: [isShort ? `src/${part}` : `src/${part}/*.ts`],
    coverageAnalysis: 'perTest',
    // Code that runs once, when a file is loaded, is mostly schemas and their descriptions.
    ignoreStatic: true,
    incremental: true,
    incrementalFile: `../${part.replaceAll('/', '-')}.json`,
    reporters: ['clear-text', 'progress-append-only'],
    clearTextReporter: { reportTests: false, allowColor: false },
    // Tests wait more than they compute.
    concurrency: 2 * availableParallelism(),
    // A test that starts a Redis or waits for a lifetime to pass is slow, not lost.
    timeoutMS: 10_000,
  }).runMutationTest();
}

/** Counts as noticed what made a test fail or hang. */
function scoreOf(results) {
  const count = (...statuses) => results.filter(({ status }) => statuses.includes(status)).length;
  const noticed = count('Killed', 'Timeout');
  const survived = count('Survived', 'NoCoverage');
  return {
    noticed,
    survived,
    static: count('Ignored'),
    score: Math.round((1000 * noticed) / (noticed + survived)) / 10,
  };
}
