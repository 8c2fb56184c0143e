// npm run test:mutation -- [--short | part …]: changes the source a little, thousands of times over, and counts how often a test
// notices. What has not changed since the last run is not run again: what it found is kept in reports/mutation.
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Stryker } from '@stryker-mutator/core';
import { buildSync } from 'esbuild';

const LEAST_SCORE = 85;

/** Notices every change of what is documented. */
const DOCUMENTED = 'test/docs/openapi.test.ts';

/**
 * Folders of the source, and the tests that are to notice: the quickest first, since the first that fails ends the search.
 * Files that every test of a folder loads cost a run of each of them, so what takes many seconds is left out.
 */
const PARTS = {
  sessions: ['test/sessions/{data,update,token,store,cluster}.test.ts'],
  identity: [
    'test/identity/{network,disable,password,username,hasher,users}.test.ts',
    'test/http/oidc/login.test.ts',
    'test/identity/{search,throttle}.test.ts',
  ],
  http: [
    'test/http/{device,validate,provider-login,webhook-event,signal,error-log}.test.ts',
    DOCUMENTED,
    'test/security/cookies.test.ts',
    'test/http/flows/audit.test.ts',
    'test/http/routes/{sessions,verify,session,continue,logout,login,password}.test.ts',
    'test/security/{malformed,headers,fixation,step-up,delegated,proxies}.test.ts',
    'test/http/{unread,route,same-origin,unavailable,errors}.test.ts',
    'test/http/routes/{register,refresh}.test.ts',
    'test/plugin/{host,plugin}.test.ts',
    'test/http/oidc/login.test.ts',
  ],
  'http/routes': [
    DOCUMENTED,
    'test/http/routes/*.test.ts',
    'test/security/{fixation,routes,step-up,delegated}.test.ts',
    'test/http/oidc/login.test.ts',
  ],
  'http/oauth': [DOCUMENTED, 'test/http/oauth/*.test.ts', 'test/clients/*.test.ts'],
  'http/oidc': [DOCUMENTED, 'test/oidc/*.test.ts'],
  'http/admin': [DOCUMENTED, 'test/http/admin/*.test.ts'],
  'http/pages': ['test/http/pages/{rendered,strings,load-assets,register,login,account,frame}.test.ts'],
};

/** One file and its test, for CI: seconds, and it tells whether this still works. */
const SHORT = { 'identity/network.ts': ['test/identity/network.test.ts'] };

const short = process.argv[2] === '--short';
const testsOf = short ? SHORT : PARTS;
const parts = process.argv.slice(short ? 3 : 2);
const unknown = parts.find((part) => !(part in testsOf));
if (unknown !== undefined) {
  console.error(`There is no part ${unknown}: ${Object.keys(testsOf).join(', ')}`);
  process.exit(1);
}

copyWithCompiledTests('reports/mutation/project');
const scores = [];
for (const part of parts.length > 0 ? parts : Object.keys(testsOf))
  scores.push({ part, ...scoreOf(await mutated(part)) });
console.table(scores);
if (scores.some(({ score }) => score < LEAST_SCORE)) {
  console.error(`At least ${LEAST_SCORE} % are to be noticed.`);
  process.exitCode = 1;
}

/** Compiled once, and not by each of the thousands of processes. Stryker tells by these files what has changed since its last run. */
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

function mutated(part) {
  return new Stryker({
    testRunner: 'tap',
    tap: {
      testFiles: testsOf[part].map((files) => files.replace(/\.ts$/, '.js')),
      nodeArgs: ['--require', '{{hookFile}}', '{{testFile}}'],
    },
    // The browser's scripts are not compiled, as where tests run otherwise.
    buildCommand:
      'esbuild src/*.ts src/http/**/*.ts src/identity/**/*.ts src/redis/**/*.ts src/sessions/**/*.ts src/webhooks/**/*.ts --outdir=. --outbase=. --format=esm --target=node20 --log-level=error',
    mutate: [short ? `src/${part}` : `src/${part}/*.ts`],
    coverageAnalysis: 'perTest',
    // What is evaluated once, when a file is loaded, is mostly schemas and their descriptions.
    ignoreStatic: true,
    incremental: true,
    incrementalFile: `../${part.replace('/', '-')}.json`,
    reporters: ['clear-text', 'progress-append-only'],
    clearTextReporter: { reportTests: false, allowColor: false },
    // The tests wait more than they compute.
    concurrency: 2 * availableParallelism(),
    // A test that starts a Redis or waits for a lifetime to pass is slow, not lost.
    timeoutMS: 10_000,
  }).runMutationTest();
}

/** Noticed by a failed test or by a test that hung, of all that ran. */
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
