import t from 'tap';
import { checkIdentity, checkSessionData, mergePatch, patchSessionData } from '../../src/sessions/data.js';
import { InvalidSessionDataError } from '../../src/sessions/errors.js';
import type { SessionData } from '../../src/sessions/session.js';

t.test('a merge patch does what the examples of RFC 7396, appendix A, say', async (t) => {
  const examples: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of examples)
    t.strictSame(mergePatch(target, patch), result, JSON.stringify(patch));
});

t.test('a member of any name is a member: no prototype is touched', async (t) => {
  const patch = JSON.parse('{"__proto__":{"admin":true},"constructor":1}') as SessionData;
  const result = patchSessionData(undefined, patch);
  t.equal(JSON.stringify(result), '{"__proto__":{"admin":true},"constructor":1}');
  t.notOk('admin' in {});
  t.equal(Object.getPrototypeOf(result), Object.prototype);
});

t.test('data is at most 2,048 bytes of JSON, nested 8 levels deep', async (t) => {
  const nested = (levels: number): SessionData => (levels === 1 ? {} : { a: nested(levels - 1) });
  const bytes = (count: number) => ({ a: 'x'.repeat(count - '{"a":""}'.length) });
  t.doesNotThrow(() => checkSessionData(nested(8)));
  t.doesNotThrow(() => checkSessionData(bytes(2048)));
  t.throws(() => checkSessionData(nested(9)), InvalidSessionDataError);
  t.throws(() => checkSessionData({ a: [[[[[[[[]]]]]]]] }), InvalidSessionDataError, 'lists count too');
  t.throws(() => checkSessionData(bytes(2049)), InvalidSessionDataError);
  t.throws(
    () => checkSessionData({ a: 'é'.repeat(1021) }),
    InvalidSessionDataError,
    'bytes are counted, not characters',
  );
  t.throws(
    () => patchSessionData({ a: 'x'.repeat(1500) }, { b: 'x'.repeat(600) }),
    InvalidSessionDataError,
    'as it would be in the end',
  );
  t.same(patchSessionData({ a: 'x'.repeat(2000) }, { a: null, b: 'x'.repeat(2000) }), { b: 'x'.repeat(2000) });
  t.equal(
    new InvalidSessionDataError().message,
    'The data of a session must be a JSON object of at most 2048 bytes of well-formed Unicode, nested at most 8 levels deep',
  );
  let deep: unknown = {};
  for (let i = 0; i < 100_000; i++) deep = [deep];
  t.throws(() => patchSessionData(undefined, { deep }), InvalidSessionDataError, 'a patch too');
});

t.test('text is well-formed Unicode, wherever it stands', async (t) => {
  for (const lone of ['\ud800', 'a\udfffb', '\\\ud83d', '\udc19\ud83d']) {
    t.throws(() => checkSessionData({ a: [{ b: lone }] }), InvalidSessionDataError, JSON.stringify(lone));
    t.throws(() => checkSessionData({ [lone]: 1 }), InvalidSessionDataError, 'a name too');
    t.throws(() => patchSessionData({}, { a: lone }), InvalidSessionDataError);
    for (const member of ['username', 'client', 'scope'] as const) {
      t.throws(() => checkIdentity({ methods: [], [member]: lone }), {
        code: 'invalid_identity',
        message: `The ${member} of a session must be well-formed Unicode`,
      });
    }
    t.throws(() => checkIdentity({ methods: ['pwd', lone] }), {
      message: 'The methods of a session must be well-formed Unicode',
    });
    t.throws(() => checkIdentity({ methods: [], data: { a: lone } }), InvalidSessionDataError);
  }
  const text = ['🐙', '\\ud800', '\\\\ud800', '\\u', '\u0000', '\n'].join('');
  t.doesNotThrow(() =>
    checkIdentity({ username: text, methods: [text], client: text, scope: text, data: { [text]: text } }),
  );
});
