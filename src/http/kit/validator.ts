import { type TSchema, TypeGuard } from '@sinclair/typebox';
import { TypeCompiler, ValueErrorType } from '@sinclair/typebox/compiler';
import type { FastifySchemaCompiler } from 'fastify';

/** Validates requests against their TypeBox schemas as they are: nothing is converted, filled in or removed. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema }) => {
  const check = TypeCompiler.Compile(schema);
  return (value) => {
    if (check.Check(value)) return { value };
    const error = [...check.Errors(value)].map(({ type, path, schema, message }) => ({
      // The name of a property that is not ours comes from the client, and could be a secret in the wrong place.
      instancePath: type === ValueErrorType.ObjectAdditionalProperties ? path.slice(0, path.lastIndexOf('/')) : path,
      message: type === ValueErrorType.Union ? mustBeOneOf(schema, message) : message,
    }));
    return { error: error as unknown as Error };
  };
};

function mustBeOneOf(schema: TSchema, otherwise: string): string {
  if (!TypeGuard.IsUnion(schema) || !schema.anyOf.every((each) => TypeGuard.IsLiteral(each))) return otherwise;
  return `Expected one of ${schema.anyOf.map(({ const: word }) => String(word)).join(', ')}`;
}
