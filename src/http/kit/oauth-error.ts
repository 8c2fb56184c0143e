import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { logServerError, toProblem } from './error-handler.js';
import { MalformedFormError } from './forms.js';
import { HttpError } from './http-error.js';
import { problems } from './problem.js';

/** The HTTP status of each error of the OAuth endpoints (RFC 6749 section 5.2, RFC 7009 section 2.2.1). */
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

/** Descriptions of client errors that Fastify or a hook of the host application throws, by status. */
const CLIENT_ERRORS: Readonly<Record<number, string>> = {
  404: problems.not_found.detail,
  413: problems.payload_too_large.detail,
  415: 'The request body must be application/x-www-form-urlencoded.',
  429: problems.too_many_requests.detail,
};

/** An error in the form of RFC 6749 section 5.2. Its `description` is ASCII without quotation marks or backslashes. */
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

/** Responds to every error with a JSON object of `error` and `error_description`. Never echoes a value. */
export function oauthErrorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const oauthError = toOAuthError(error);
  const { code, status, headers, message } = oauthError;
  logServerError(error, oauthError, request, reply);
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
    return new OAuthError('temporarily_unavailable', problem.message, { headers: problem.headers, cause: error });
  }
  const { validation, statusCode = problem.status } = error as Partial<FastifyError>;
  if (validation) return new OAuthError('invalid_request', 'A parameter is missing or invalid.', { cause: error });
  if (statusCode < 500) {
    return new OAuthError('invalid_request', CLIENT_ERRORS[statusCode] ?? problems.invalid_request.detail, {
      cause: error,
    });
  }
  return new OAuthError('server_error', problems.internal_error.detail, { cause: error });
}
