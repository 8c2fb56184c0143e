import { readFileSync } from 'node:fs';

const LIST = readFileSync(new URL('./common-passwords.txt', import.meta.url), 'utf8');
const COMMON: ReadonlySet<string> = new Set([...LIST.slice(LIST.indexOf('\n\n')).trim().split('\n'), 'latchkey']);
const MAX_WORD_LENGTH = Math.max(...[...COMMON].map((word) => word.length));
const MIN_WORD_LENGTH = 3;

/** Neighbouring keys of Latin and Cyrillic keyboards, in both directions. */
const KEYBOARD_WALKS = [
  '1234567890-=',
  '!@#$%^&*()_+',
  '0987654321',
  'qwertyuiop[]',
  "asdfghjkl;'",
  'zxcvbnm,./',
  'qwertzuiop',
  'yxcvbnm',
  'azertyuiop',
  'qsdfghjklm',
  'wxcvbn',
  'йцукенгшщзхъ',
  'фывапролджэ',
  'ячсмитьбю',
  '1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/',
  'qazwsxedcrfvtgbyhnujmikolp',
  'zaq1xsw2cde3vfr4bgt5nhy6mju7',
  'zaqxswcdevfrbgtnhymju',
  '1qazxsw23edcvfr45tgbnhy67ujm',
  '1q2w3e4r5t6y7u8i9o0p',
  'q1w2e3r4t5y6u7i8o9p0',
  '1qa2ws3ed4rf5tg6yh7uj8ik9ol',
  'qawsedrftgyhujikolp',
]
  .flatMap((walk) => [walk, [...walk].reverse().join('')])
  .join('\n');

const WORD_COST = 3;
const YEAR_COST = 2;
const PIECE_COST = 1;
const MAX_COMMON_COST = 8;

/**
 * Whether an attacker would guess this password early: it is a common password, or consists of little more than common
 * passwords, words from the context, years, sequences, keyboard walks and repetitions.
 *
 * Splits the password into pieces in the cheapest way. A point is about four bits: a common password costs 3 points,
 * a year 2, a sequence, a keyboard walk or any other character 1, a word from the context nothing. A password that
 * repeats one text costs as much as that text, plus 1. A password is common if it costs at most 8 points and at most
 * half a point for each character.
 *
 * @param password folded (NFKC and lower case).
 * @param context folded words that an attacker knows, such as the username.
 */
export function isCommon(password: string, context: readonly string[]): boolean {
  const characters = [...password];
  const limit = Math.min(MAX_COMMON_COST, characters.length / 2);
  const period = smallestPeriod(characters);
  const known = context.map((word) => [...word]).filter((letters) => letters.length >= MIN_WORD_LENGTH);
  if (period <= characters.length / 2) return costsAtMost(characters.slice(0, period), known, limit - PIECE_COST);
  return costsAtMost(characters, known, limit);
}

/** Whether some split of the characters into pieces costs at most `limit` points. */
function costsAtMost(characters: readonly string[], context: readonly (readonly string[])[], limit: number): boolean {
  const costs: number[] = [0, ...characters.map(() => Infinity)];
  characters.forEach((_, start) => {
    const costSoFar = costs[start]!;
    if (costSoFar > limit) return;
    const tryPiece = (length: number, cost: number) => {
      costs[start + length] = Math.min(costs[start + length]!, costSoFar + cost);
    };
    tryPiece(1, PIECE_COST);
    const run = longestRun(characters, start);
    for (let length = 2; length <= run; length++) tryPiece(length, PIECE_COST);
    const ahead = characters.slice(start, start + MAX_WORD_LENGTH);
    let word = ahead.slice(0, MIN_WORD_LENGTH - 1).join('');
    for (let length = MIN_WORD_LENGTH; length <= ahead.length; length++) {
      word += ahead[length - 1]!;
      if (COMMON.has(word)) tryPiece(length, WORD_COST);
      if (KEYBOARD_WALKS.includes(word)) tryPiece(length, PIECE_COST);
    }
    if (/^(19|20)\d\d/.test(ahead.join(''))) tryPiece(4, YEAR_COST);
    for (const known of context) {
      if (known.every((letter, i) => letter === characters[start + i])) tryPiece(known.length, 0);
    }
  });
  return costs.at(-1)! <= limit;
}

/** Returns how many characters from `start` on repeat one character, or ascend or descend by one code point. */
function longestRun(characters: readonly string[], start: number): number {
  const stepAt = (i: number) => characters[i]!.codePointAt(0)! - characters[i - 1]!.codePointAt(0)!;
  if (start + 1 >= characters.length) return 1;
  const step = stepAt(start + 1);
  if (Math.abs(step) > 1) return 1;
  let end = start + 2;
  while (end < characters.length && stepAt(end) === step) end++;
  return end - start;
}

/**
 * Returns the length of the shortest prefix that gives the whole text when repeated; the last repetition may be cut
 * short. Computed with the prefix function of Knuth, Morris and Pratt.
 */
function smallestPeriod(characters: readonly string[]): number {
  const borders: number[] = [0];
  for (let i = 1; i < characters.length; i++) {
    let border = borders[i - 1]!;
    while (border > 0 && characters[i] !== characters[border]) border = borders[border - 1]!;
    borders.push(characters[i] === characters[border] ? border + 1 : 0);
  }
  return characters.length - borders.at(-1)!;
}
