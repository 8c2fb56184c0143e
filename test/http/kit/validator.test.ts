import { Type } from '@sinclair/typebox';
import t from 'tap';
import { validatorCompiler } from '../../../src/http/kit/validator.js';

const validator = (schema: Parameters<typeof validatorCompiler>[0]['schema']) =>
  validatorCompiler({ schema, method: 'POST', url: '/' }) as (value: unknown) => { value?: unknown; error?: unknown };

t.test('a valid value passes unchanged: no defaults, no removals', async (t) => {
  const value = { a: 'x' };
  const result = validator(Type.Object({ a: Type.String(), b: Type.Optional(Type.String({ default: 'y' })) }))(value);
  t.equal(result.value, value);
  t.same(value, { a: 'x' });
});

t.test('an invalid value is reported by its path, never by its value', async (t) => {
  const Body = Type.Object(
    { a: Type.Object({ b: Type.Integer() }, { additionalProperties: false }) },
    { additionalProperties: false },
  );
  t.match(validator(Body)({ a: { b: 'secret' } }).error, [{ instancePath: '/a/b', message: 'Expected integer' }]);
  t.match(validator(Body)({ a: { b: 1, secret: 1 } }).error, [{ instancePath: '/a', message: 'Unexpected property' }]);
  t.match(validator(Body)({ a: { b: 1 }, 's/e~c': 1 }).error, [{ instancePath: '', message: 'Unexpected property' }]);
});

t.test('an error about a union of literals lists them; any other union gets the default message', async (t) => {
  const literals = Type.Union([Type.Literal('one'), Type.Literal('two')]);
  t.match(validator(literals)('three').error, [{ instancePath: '', message: 'Expected one of one, two' }]);
  const types = Type.Union([Type.Literal('one'), Type.Integer()]);
  t.match(validator(types)('three').error, [{ message: 'Expected union value' }]);
});
