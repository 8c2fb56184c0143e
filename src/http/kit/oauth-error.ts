import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { toProblem } from './error-handler.js';
import { MalformedFormError } from './forms.js';
import { HttpError } from './http-error.js';

/** The status of every error of the OAuth endpoints (RFC 6749 section 5.2, RFC 7009 section 2.2.1). */
export const oauthErrors = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  server_error: 500,
  temporarily_unavailable: 503,
} as const;

export type OAuthErrorCode = keyof typeof oauthErrors;

/** An error in the form of RFC 6749 section 5.2. Its `description` is ASCII without quotes and backslashes. */
export class OAuthError extends HttpError {
  declare readonly code: OAuthErrorCode;

  constructor(
    code: OAuthErrorCode,
    description: string,
    options: { headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(code, description, { ...options, status: oauthErrors[code] });
  }
}

/** Replies to every error with JSON of `error` and `error_description`. Never echoes a value. */
export function oauthErrorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { code, status, headers, message } = toOAuthError(error);
  if (status >= 500 && !reply.raw.destroyed) request.log.error({ err: error }, message);
  return reply
    .code(status)
    .headers(headers)
    .type('application/json')
    .serializer(JSON.stringify)
    .send({ error: code, error_description: message });
}

function toOAuthError(error: unknown): OAuthError {
  if (error instanceof OAuthError) return error;
  if (error instanceof MalformedFormError) return new OAuthError('invalid_request', error.message);
  const problem = toProblem(error);
  if (problem.code === 'unavailable') {
    const { headers } = problem;
    return new OAuthError('temporarily_unavailable', 'The service cannot answer right now; try again.', {
      headers,
      cause: error,
    });
  }
  const { validation, statusCode = problem.status } = error as Partial<FastifyError>;
  if (validation) return new OAuthError('invalid_request', 'A required parameter is missing.', { cause: error });
  if (statusCode < 500) {
    return new OAuthError('invalid_request', 'The request must be a short application/x-www-form-urlencoded body.', {
      cause: error,
    });
  }
  return new OAuthError('server_error', 'Something went wrong on our side.', { cause: error });
}
