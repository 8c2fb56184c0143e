import { type TSchema, TypeGuard } from '@sinclair/typebox';
import { TypeCompiler, ValueErrorType } from '@sinclair/typebox/compiler';
import type { FastifySchemaCompiler } from 'fastify';

/** Validates requests against their TypeBox schemas. Converts no types, applies no defaults and removes nothing. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema }) => {
  const check = TypeCompiler.Compile(schema);
  return (value) => {
    if (check.Check(value)) return { value };
    const error = [...check.Errors(value)].map(({ type, path, schema, message }) => ({
      // The client chose the name of an unexpected property. It could be a misplaced secret, so it is not echoed.
      instancePath: type === ValueErrorType.ObjectAdditionalProperties ? path.slice(0, path.lastIndexOf('/')) : path,
      message: type === ValueErrorType.Union ? describeUnion(schema, message) : message,
    }));
    return { error: error as unknown as Error };
  };
};

function describeUnion(schema: TSchema, fallback: string): string {
  if (!TypeGuard.IsUnion(schema) || !schema.anyOf.every((each) => TypeGuard.IsLiteral(each))) return fallback;
  return `Expected one of ${schema.anyOf.map(({ const: word }) => String(word)).join(', ')}`;
}
