import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../../src/server/config/load.js';
import { formatDuration } from '../../../src/server/config/values.js';
import { type Variable, variables } from '../../../src/server/config/variables.js';
import { problemsOf } from './support.js';

t.test('WORKERS is a number of processes, or auto for one on each core', async (t) => {
  t.equal(loadConfig({ WORKERS: '4' }).workers, 4);
  t.equal(loadConfig({ WORKERS: 'auto' }).workers, availableParallelism());
  t.strictSame(problemsOf({ WORKERS: 'many' }), ['WORKERS must be a whole number, 1 to 64, or auto']);
  t.strictSame(problemsOf({ WORKERS: '0' }), ['WORKERS must be a whole number, 1 to 64, or auto']);
});

t.test('BRAND_STYLESHEET names a file that exists', async (t) => {
  const stylesheet = join(import.meta.dirname, '../../../src/http/pages/assets/pages.css');
  t.equal(loadConfig({ BRAND_STYLESHEET: stylesheet }).brandStylesheet, stylesheet);
  t.strictSame(problemsOf({ BRAND_STYLESHEET: `${stylesheet}.old` }), [
    'BRAND_STYLESHEET refers to a file that does not exist',
  ]);
});

t.test('a duration is written in the largest unit that makes a whole number', async (t) => {
  const written: [number, string][] = [
    [0, '0s'],
    [1, '1ms'],
    [1_000, '1s'],
    [1_001, '1001ms'],
    [90_000, '90s'],
    [900_000, '15m'],
    [3_600_000, '1h'],
    [86_400_000, '1d'],
    [129_600_000, '36h'],
  ];
  for (const [ms, text] of written) t.equal(formatDuration(ms), text);
});

t.test('a number or duration is accepted at both bounds of its range, and refused beyond them', async (t) => {
  const bounds: [string, string, string, string, string][] = [
    ['PORT', '0', '65535', '-1', '65536'],
    ['WORKERS', '1', '64', '0', '65'],
    ['REDIS_TIMEOUT', '1ms', '1m', '0ms', '60001ms'],
    ['LOGIN_FAILURE_WINDOW', '1s', '30d', '999ms', '31d'],
    ['SESSIONS_PER_USER', '1', '10000', '0', '10001'],
    ['PASSWORD_MIN_LENGTH', '8', '1024', '7', '1025'],
    ['RECENT_AUTHENTICATION', '0s', '3650d', '-1s', '3651d'],
  ];
  for (const [name, min, max, tooSmall, tooLarge] of bounds) {
    for (const value of [min, max]) t.same(problemsOf({ [name]: value }), [], `${name}=${value}`);
    for (const value of [tooSmall, tooLarge]) t.equal(problemsOf({ [name]: value }).length, 1, `${name}=${value}`);
  }
});

t.test('every variable accepts the text of its default', async (t) => {
  for (const { name, format, default: text } of Object.values<Variable>(variables)) {
    if (text === undefined) continue;
    const reasons: string[] = [];
    format.parse(text, (reason) => void reasons.push(reason));
    t.same(reasons, [], name);
  }
});
