import t from 'tap';
import { LANGUAGES, type Strings, stringsFor } from '../../../src/http/pages/strings.js';
import { ENDED_REASONS } from '../../../src/sessions/session.js';

/** Lists every text by its path; placeholders are filled with `§`. */
function flatten(texts: object, path = ''): [string, string][] {
  return Object.entries(texts as Record<string, string | object | ((placeholder: string) => string)>).flatMap<
    [string, string]
  >(([name, text]) => {
    if (typeof text === 'object') return flatten(text, `${path}${name}.`);
    return [[path + name, typeof text === 'function' ? text('§') : text]];
  });
}

const paths = (strings: Strings) => flatten(strings).map(([path]) => path);

t.test('every language has a translation of every text', async (t) => {
  const english = new Map(flatten(stringsFor('en')));
  for (const language of LANGUAGES.slice(1)) {
    const strings = stringsFor(language);
    t.strictSame(paths(strings), paths(stringsFor('en')), language);
    for (const [path, text] of flatten(strings)) {
      t.not(text.trim(), '', path);
      t.not(text, english.get(path), `${language} ${path}`);
      t.equal(text.includes('§'), english.get(path)!.includes('§'), `${language} ${path} has the same placeholder`);
    }
  }
});

t.test(
  'every reason for which a session ends has a text on the login page and in the list of ended sessions',
  async (t) => {
    const { reasons, endingReasons } = stringsFor('en');
    for (const reason of ENDED_REASONS) {
      t.type((reasons as Record<string, string>)[reason], 'string');
      t.type(endingReasons[reason], 'string');
    }
    for (const reason of ['missing', 'unknown', 'invalid', 'insufficient_user_authentication'])
      t.ok(reason in reasons, reason);
  },
);

t.test('an unknown language falls back to English', async (t) => {
  t.strictSame(LANGUAGES, ['en', 'de']);
  for (const language of [undefined, 'fr', '']) t.equal(stringsFor(language).language, 'en');
});
