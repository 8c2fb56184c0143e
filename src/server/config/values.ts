import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Range } from '../../options.js';

/** Reports why a value is not valid, without repeating the value. May be called several times for one value. */
export type Reject = (reason: string) => undefined;

/** Parses a value. Calls `reject` and returns undefined if the text is not valid. */
export type Parse<T> = (text: string, reject: Reject) => T | undefined;

/** How a value is written in the environment. */
export interface ValueFormat<T> {
  /** Shown in docs/configuration.md. */
  readonly description: string;
  readonly parse: Parse<T>;
}

const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration such as `15m`, in milliseconds. */
export function duration({ min, max }: Range): ValueFormat<number> {
  const range = [formatDuration(min), formatDuration(max)];
  return {
    description: `duration, ${range.join(' to ')}`,
    parse(text, reject) {
      const ms = parseDuration(text);
      if (ms === undefined) return reject('must be a duration such as 250ms, 30s, 15m, 24h or 30d');
      return ms >= min && ms <= max ? ms : reject(`must be from ${range.join(' to ')}`);
    },
  };
}

function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  return match ? Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS] : undefined;
}

/** Formats milliseconds as in the environment, in the largest unit that gives a whole number, such as `15m`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  const [unit, unitMs] = Object.entries(UNITS_MS).findLast(([, unitMs]) => ms % unitMs === 0)!;
  return `${ms / unitMs}${unit}`;
}

export function wholeNumber(range: Range): ValueFormat<number> {
  const description = `whole number, ${range.min} to ${range.max}`;
  return { description, parse: (text, reject) => parseWholeNumber(text, range) ?? reject(`must be a ${description}`) };
}

export function parseWholeNumber(text: string, { min, max }: Range): number | undefined {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  return value >= min && value <= max ? value : undefined;
}

/** A number of processes, or `auto` for one on each core. */
export function processCount(range: Range): ValueFormat<number> {
  const { description, parse } = wholeNumber(range);
  return {
    description: `${description}, or \`auto\``,
    parse: (text, reject) =>
      text === 'auto' ? availableParallelism() : parse(text, (reason) => reject(`${reason}, or auto`)),
  };
}

export function oneOf<const Word extends string>(...words: readonly Word[]): ValueFormat<Word> {
  return {
    description: words.map((word) => `\`${word}\``).join(', '),
    parse: (text, reject) => words.find((word) => word === text) ?? reject(`must be one of ${words.join(', ')}`),
  };
}

export function matching(description: string, pattern: RegExp): ValueFormat<string> {
  return { description, parse: (text, reject) => (pattern.test(text) ? text : reject(`must be ${description}`)) };
}

export const address = matching('a host name or an IP address', /^[\w.:%-]+$/);

export const path: ValueFormat<string> = { description: 'path', parse: (text) => text };

export const existingFile: ValueFormat<string> = {
  description: 'path of a file',
  parse: (text, reject) => (existsSync(text) ? text : reject('refers to a file that does not exist')),
};

/** A comma-separated list. An invalid entry is reported by its position, counted from 1. */
export function listOf<T>(description: string, parseEntry: Parse<T>): ValueFormat<readonly T[]> {
  return {
    description: `${description}, comma-separated`,
    parse(text, reject) {
      const values = new Set<T>();
      text.split(',').forEach((untrimmed, index) => {
        const rejectEntry = (reason: string) => reject(`entry ${index + 1} ${reason}`);
        const entry = untrimmed.trim();
        const value = entry === '' ? rejectEntry('is empty') : parseEntry(entry, rejectEntry);
        if (value === undefined) return;
        if (values.has(value)) rejectEntry('is a duplicate');
        values.add(value);
      });
      return [...values];
    },
  };
}
