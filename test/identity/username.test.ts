import fc from 'fast-check';
import t from 'tap';
import { InvalidUsernameError, normalizeUsername } from '../../src/identity/username.js';
import { cpuMs } from '../support/cpu.js';

function normalizedOrRefused(input: string): string | undefined {
  try {
    return normalizeUsername(input);
  } catch (error) {
    if (error instanceof InvalidUsernameError) return undefined;
    throw error;
  }
}

/** Text that is likely to change under NFKC or case folding, to combine, or to be refused. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.string({
    unit: fc.constantFrom(
      'ß',
      'ẞ',
      'ς',
      'Σ',
      'İ',
      'ı',
      'ﬁ',
      'Å',
      'Å',
      'é',
      'e',
      '\u0301',
      '\u0345',
      '\u0327',
      'ｱ',
      'ﾞ',
      'K',
      'Ⅷ',
      'ǆ',
      ' ',
      'ᾳ',
      'ᄀ',
      'ᅡ',
    ),
  }),
);

t.test('usernames that differ only in width, compatibility form, case or surrounding space are the same', async (t) => {
  for (const variant of ['Renée', 'RENÉE', 'rene\u0301e', 'ＲＥＮＥ\u0301Ｅ', '  renée\n']) {
    t.equal(normalizeUsername(variant), 'renée');
  }
  t.equal(normalizeUsername('STRASSE'), normalizeUsername('Straße'));
  t.equal(normalizeUsername('STRAẞE'), normalizeUsername('straße'));
  t.equal(normalizeUsername('ΟΔΟΣ'), normalizeUsername('οδός'.normalize('NFD').replace('\u0301', '')));
  t.equal(normalizeUsername('ﬁnn'), 'finn');
});

t.test('an e-mail address is a valid username', async (t) => {
  t.equal(normalizeUsername('Ada.Lovelace+x@Example.ORG'), 'ada.lovelace+x@example.org');
});

t.test('a username has 1 to 254 characters', async (t) => {
  t.equal(normalizeUsername('a'), 'a');
  t.equal(normalizeUsername('😀'.repeat(254)), '😀'.repeat(254));
  t.throws(() => normalizeUsername('a'.repeat(255)), { code: 'invalid_username' });
  t.throws(() => normalizeUsername('\ufdfb'.repeat(200)), InvalidUsernameError, 'counted after normalization');
  for (const empty of ['', ' ', '\u3000\t']) t.throws(() => normalizeUsername(empty), InvalidUsernameError);
});

t.test('an overlong username is refused before it is normalized or folded', async (t) => {
  const marks = '\u0316\u0301'.repeat(200_000);
  const took = cpuMs(() => t.throws(() => normalizeUsername(`a${marks}`), InvalidUsernameError));
  t.ok(took < 250, `${took} ms: normalizing these would take seconds`);
  const ligatures = '\ufdfa'.repeat(2_000);
  const each = cpuMs(() => {
    for (let i = 0; i < 100; i++) t.throws(() => normalizeUsername(ligatures), InvalidUsernameError);
  });
  t.ok(each < 500, `${each} ms for a hundred: folding what one of these becomes would take ten`);
});

t.test('a username with blank, invisible or invalid characters is refused', async (t) => {
  const refused: Record<string, string> = {
    'inner space': 'a b',
    'ideographic space': 'a\u3000b',
    'a space that NFKC brings in': 'a\u00a8b',
    'control character': 'a\u0000b',
    newline: 'a\nb',
    'zero-width space': 'a\u200bb',
    'zero-width joiner': 'a\u200db',
    'bidirectional override': 'a\u202eb',
    'bidirectional isolate': 'a\u2067b',
    'soft hyphen': 'a\u00adb',
    'Hangul filler': 'a\u3164b',
    'combining grapheme joiner': 'a\u034fb',
    'variation selector': 'a\ufe0fb',
    'tag character': 'a\u{e0041}b',
    'blank braille': 'a\u2800b',
    'private use': 'a\ue000b',
    noncharacter: 'a\uffffb',
    unassigned: 'a\u0378b',
    'lone surrogate': 'a\ud800b',
    'leading mark': '\u0301a',
  };
  for (const [what, name] of Object.entries(refused)) {
    t.throws(() => normalizeUsername(name), InvalidUsernameError, what);
  }
});

t.test('the error about a username does not contain the username', async (t) => {
  t.throws(() => normalizeUsername('secret canary'), { message: /^(?!.*canary)/ });
});

t.test('normalizing a normalized username changes nothing', async () => {
  fc.assert(
    fc.property(text, (input) => {
      const name = normalizedOrRefused(input);
      return name === undefined || normalizeUsername(name) === name;
    }),
    { numRuns: 5000 },
  );
});

t.test('equivalent Unicode forms of a username normalize to the same username', async () => {
  fc.assert(
    fc.property(text, (input) => {
      const name = normalizedOrRefused(input);
      const variants = (['NFC', 'NFD', 'NFKC', 'NFKD'] as const).map((form) => input.normalize(form));
      return name === undefined || variants.every((variant) => normalizedOrRefused(variant) === name);
    }),
    { numRuns: 5000 },
  );
});

t.test('upper and lower case of every Unicode character normalize to the same username', async (t) => {
  const different: string[] = [];
  for (let codePoint = 0; codePoint < 0x110000; codePoint++) {
    const character = `a${String.fromCodePoint(codePoint)}`;
    if (character.toUpperCase().slice(1) === character.toLowerCase().slice(1)) continue;
    const name = normalizedOrRefused(character);
    if (name === undefined) continue;
    const same = [character.toUpperCase(), character.toLowerCase(), name].every((s) => normalizedOrRefused(s) === name);
    if (!same) different.push(character);
  }
  t.same(different, []);
});
