import { readFileSync } from 'node:fs';
import { LatchkeyError } from '../../errors.js';
import { rules } from './rules.js';
import type { Reject } from './values.js';
import { type Values, type Variable, variables } from './variables.js';

/** The configuration is not valid. */
export class ConfigError extends LatchkeyError {
  /** One message for each mistake. It names the variable and never contains its value. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super('invalid_configuration', ['The configuration is not valid:', ...problems].join('\n- '));
    this.problems = problems;
  }
}

/** The values of all variables, deeply frozen. */
export interface Config extends Values {
  /** Messages for the operator. */
  readonly warnings: readonly string[];
}

type ReadFile = (path: string) => string;

/**
 * Reads the environment. An empty string counts as unset. Of other variables,
 * only the names are read, to find typing errors.
 *
 * @param env usually `process.env`
 * @param options.readFile reads a secret from a file; by default from disk, as UTF-8
 * @throws {ConfigError} with all problems at once
 */
export function loadConfig(
  env: NodeJS.ProcessEnv,
  { readFile = (path) => readFileSync(path, 'utf8') }: { readFile?: ReadFile } = {},
): Config {
  const problems: string[] = [];
  const invalid = new Set<string>();
  const values: Record<string, unknown> = {};

  for (const [field, variable] of Object.entries<Variable>(variables)) {
    const rejectAs = (name: string) => (reason: string) => {
      invalid.add(field);
      problems.push(`${name} ${reason}`);
      return undefined;
    };
    const text = readText(variable, env, readFile, rejectAs) ?? variable.default;
    values[field] = text === undefined ? undefined : deepFreeze(variable.format.parse(text, rejectAs(variable.name)));
  }

  const warnings = findMisspelled(Object.keys(env));
  for (const { severity, fields, message, isViolated } of rules) {
    if (fields.some((field) => invalid.has(field)) || !isViolated(values as Values)) continue;
    (severity === 'error' ? problems : warnings).push(message);
  }

  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze({ ...(values as Values), warnings: Object.freeze(warnings) });
}

function readText(
  { name, secret }: Variable,
  env: NodeJS.ProcessEnv,
  readFile: ReadFile,
  rejectAs: (name: string) => Reject,
): string | undefined {
  const text = env[name] || undefined;
  const fileVariable = `${name}_FILE`;
  const path = secret && env[fileVariable];
  if (!path) return text;
  if (text !== undefined) return rejectAs(name)(`and ${fileVariable} are both set: set only one of them`);
  try {
    return readFile(path).replace(/\r?\n$/, '') || rejectAs(fileVariable)('refers to an empty file');
  } catch (error) {
    // The message would show the path, which is the secret itself when someone mixed up the two variables.
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return rejectAs(fileVariable)(`refers to a file that cannot be read (${code})`);
  }
}

function findMisspelled(names: readonly string[]): string[] {
  const ours = Object.values<Variable>(variables).flatMap(({ name, secret }) =>
    secret ? [name, `${name}_FILE`] : [name],
  );
  // PORT and HOST are too short to tell a typo from another program's variable.
  const candidates = ours.filter((name) => name.length > 4);
  return names
    .filter((name) => !ours.includes(name))
    .flatMap((name) => {
      const similar = candidates.find((candidate) => isTypo(name.toUpperCase(), candidate));
      return similar === undefined ? [] : [`${name} is not a variable of latchkey: did you mean ${similar}?`];
    });
}

/** Whether two names differ by one letter that is added, missing or different, or by two that are swapped. */
function isTypo(a: string, b: string): boolean {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a[start] === b[start]) start++;
  let end = 0;
  while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  return (x.length <= 1 && y.length <= 1) || (x.length === 2 && x === [...y].reverse().join(''));
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
