import { Type } from '@sinclair/typebox';

/** The parameters by which a client names itself, where it does not use Basic authentication. */
export const ClientCredentials = {
  client_id: Type.Optional(Type.String()),
  client_secret: Type.Optional(Type.String()),
};
