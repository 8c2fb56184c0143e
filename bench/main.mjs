import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { contenders } from './contenders/index.mjs';
import { describeMachine, CannotRunError, requireTools } from './lib/machine.mjs';
import { growth } from './measures/growth.mjs';
import { logins } from './measures/logins.mjs';
import { logout } from './measures/logout.mjs';
import { profile } from './measures/profile.mjs';
import { refresh } from './measures/refresh.mjs';
import { script } from './measures/script.mjs';
import { validate } from './measures/validate.mjs';
import { chart } from './report/chart.mjs';
import { fill } from './report/document.mjs';
import { tables } from './report/tables.mjs';
import { targets } from './report/targets.mjs';

const docs = fileURLToPath(new URL('../docs/', import.meta.url));
const scratch = fileURLToPath(new URL('./out/', import.meta.url));

const FULL = { rounds: 9, seconds: 2 };
const QUICK = { rounds: 3, seconds: 0.25 };

const measures = {
  validate: { run: validate, full: { rounds: 21, seconds: 0.7 } },
  refresh: { run: refresh, full: { seconds: 1 } },
  script: { run: script, full: { seconds: 0.5 } },
  growth: {
    run: growth,
    full: { seconds: 1, levels: [10_000, 100_000, 1_000_000], graceMs: 30_000 },
    quick: { levels: [1_000, 5_000], graceMs: 2_000 },
  },
  logout: { run: logout, full: { sizes: [1, 100, 10_000] }, quick: { sizes: [1, 100, 1_000] } },
  logins: { run: logins, full: { seconds: 1 } },
};

/**
 * Runs measures, all of them if none is named, and prints their tables and the targets.
 * Complete runs write into docs/, `--quick` and `--only` into bench/out/.
 */
export async function main({ names, quick, only }) {
  for (const name of names)
    if (!isKnown(name))
      throw new CannotRunError(`There is no ${name}: ${[...Object.keys(measures), 'profile', 'targets'].join(', ')}`);
  for (const name of only ?? [])
    if (!contenders[name])
      throw new CannotRunError(`There is no contender ${name}: ${Object.keys(contenders).join(', ')}`);
  const complete = !quick && !only;
  const folder = complete ? `${docs}performance/` : scratch;
  mkdirSync(folder, { recursive: true });
  requireTools();

  if (names.includes('profile')) {
    const profiled = await profile({ only: only ?? ['bare', 'latchkey', 'latchkey-host'] });
    console.log(`\n${profiled}`);
    writeFileSync(`${folder}profile.md`, `${profiled}\n`);
  }
  const chosen = names.length === 0 ? Object.keys(measures) : names.filter((name) => measures[name]);
  const results = names.length === 0 && !complete ? {} : read(`${folder}results.json`);
  for (const name of chosen) {
    const started = Date.now();
    const { run, full, quick: short } = measures[name];
    console.log(`\n${name}`);
    const machine = describeMachine();
    const options = quick ? { ...QUICK, ...short } : { ...FULL, ...full };
    const measured = await run({ ...options, only, log: console.log });
    results[name] = { machine, ...measured, options, tookSeconds: Math.round((Date.now() - started) / 1000) };
    console.log(`  in ${results[name].tookSeconds} s\n\n${tables[name](results[name])}`);
    writeFileSync(`${folder}results.json`, `${JSON.stringify(results, rounded)}\n`);
  }
  if (chosen.length === 0 && !names.includes('targets')) return;

  const reached = targets(results);
  console.log(`\n${reached}`);
  if (results.validate) writeFileSync(`${folder}validate.svg`, chart(results.validate));
  const sections = { targets: reached };
  for (const name of Object.keys(results)) sections[name] = tables[name](results[name]);
  for (const [name, text] of Object.entries(sections)) writeFileSync(`${folder}${name}.md`, `${text}\n`);
  if (complete) fill(`${docs}performance.md`, sections);
}

function isKnown(name) {
  return name in measures || name === 'profile' || name === 'targets';
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
}

function rounded(_name, value) {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}
