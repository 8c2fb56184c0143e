import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaValidationError } from 'fastify';
import { UnavailableError } from '../../errors.js';
import { InvalidLogoutTokenError } from '../../federation/logout-tokens.js';
import { BusyError } from '../../identity/password-hasher.js';
import { PasswordNotAllowedError } from '../../identity/password-policy.js';
import { UsernameTakenError } from '../../identity/registration.js';
import { InvalidCursorError } from '../../identity/search.js';
import { TooManyAttemptsError } from '../../identity/throttle.js';
import { InvalidUsernameError } from '../../identity/username.js';
import { InvalidSubjectError } from '../../redis/keys.js';
import { InvalidIdentityError, InvalidSessionDataError, StaleCredentialError } from '../../sessions/errors.js';
import { MalformedFormError } from './forms.js';
import { SECURITY_HEADERS } from './headers.js';
import { HttpError } from './http-error.js';
import { challenge } from './presented-tokens.js';
import { type FieldError, Problem, type ProblemCode } from './problem.js';

const HEADERS = { 'content-type': 'application/problem+json', ...SECURITY_HEADERS };

/** Error codes of Node's HTTP parser; all others become a 400. */
const PARSER_ERRORS: Record<string, ProblemCode> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
};

/** Responds to every error with `application/problem+json` (RFC 9457). Never sets a cookie or echoes a value. */
export function errorHandler(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  logServerError(error, problem, request, reply);
  return sendProblem(reply, problem);
}

/** Logs an error whose status is 5xx, unless the client has disconnected. */
export function logServerError(
  error: unknown,
  { status, message }: HttpError,
  { log, id: reqId }: FastifyRequest,
  { raw }: FastifyReply,
): void {
  // Expected under overload, when a stack trace for each request would cost more than rejecting it.
  if (error instanceof BusyError) log.warn({ reqId }, error.message);
  else if (status >= 500 && !raw.destroyed) log.error({ err: error, reqId }, message);
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers({ ...HEADERS, ...problem.headers })
    .serializer(JSON.stringify)
    .send(toBody(problem));
}

/**
 * Responds to input that is not a valid HTTP request. Does not log the error, because it contains the raw bytes, tokens
 * included.
 */
export function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) return;
  const problem = new Problem(PARSER_ERRORS[String(error.code)] ?? 'invalid_request');
  const { status } = problem;
  const body = JSON.stringify(toBody(problem));
  const headers = { ...HEADERS, 'content-length': Buffer.byteLength(body), connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
  socket.destroySoon();
}

function toBody({ status, code, message, extensions }: Problem) {
  return { title: STATUS_CODES[status], status, code, detail: message, ...extensions };
}

/** Converts any error to the problem that it is reported as. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof MalformedFormError) return new Problem('invalid_request', { detail: error.message });
  if (error instanceof HttpError) return fromHttpError(error);
  if (error instanceof UnavailableError) {
    return new Problem('unavailable', { headers: { 'retry-after': String(error.retryAfterSeconds) }, cause: error });
  }
  if (error instanceof TooManyAttemptsError) {
    return new Problem('too_many_requests', { headers: { 'retry-after': String(error.retryAfterSeconds) } });
  }
  if (error instanceof PasswordNotAllowedError) {
    return new Problem('password_not_allowed', { detail: `${error.message}.`, reason: error.reason });
  }
  if (error instanceof InvalidUsernameError) return new Problem('invalid_username', { detail: `${error.message}.` });
  if (error instanceof InvalidSubjectError) return new Problem('invalid_subject', { detail: `${error.message}.` });
  if (error instanceof InvalidIdentityError) return new Problem('invalid_request', { detail: `${error.message}.` });
  if (error instanceof InvalidSessionDataError)
    return new Problem('invalid_session_data', { detail: `${error.message}.` });
  if (error instanceof InvalidLogoutTokenError)
    return new Problem('invalid_request', { detail: `${error.message}.`, cause: error });
  if (error instanceof InvalidCursorError) return new Problem('invalid_cursor');
  if (error instanceof UsernameTakenError) return new Problem('username_taken');
  // Which credential is stale, and whether the subject is disabled, is deliberately not revealed.
  if (error instanceof StaleCredentialError) return new Problem('invalid_credentials', { headers: challenge() });
  return fromFastifyError(error as Partial<FastifyError>);
}

/**
 * Converts an error of another route group. The problem has the same status if it is 401, with the same headers, or if
 * {@link fromStatus} knows it; otherwise 500.
 */
function fromHttpError(error: HttpError): Problem {
  const { status, headers } = error;
  if (status === 401) return new Problem('authentication_required', { headers, cause: error });
  return fromStatus(status, error);
}

/** Converts the errors of Fastify and of the host's hooks, such as a rate limit. */
function fromFastifyError(error: Partial<FastifyError>): Problem {
  if (error.validation) {
    const errors = fieldErrors(error.validationContext!, error.validation);
    return new Problem('invalid_request', { detail: `${errors[0]!.field}: ${errors[0]!.detail}.`, errors });
  }
  return fromStatus(error.statusCode, error);
}

function fromStatus(status: number | undefined, error: unknown): Problem {
  switch (status) {
    case 400:
      return new Problem('invalid_request', { cause: error });
    case 404:
    case 414: // The path parameter is longer than any valid one.
      return new Problem('not_found');
    case 413:
      return new Problem('payload_too_large');
    case 415:
      return new Problem('unsupported_media_type');
    case 429:
      return new Problem('too_many_requests');
    case 503:
      return new Problem('unavailable', { headers: { 'retry-after': '1' }, cause: error });
    default:
      return new Problem('internal_error', { cause: error });
  }
}

/** Lists the first error of each field, for at most ten fields, with the validator's message. */
function fieldErrors(context: string, validation: readonly FastifySchemaValidationError[]): FieldError[] {
  const errors = new Map<string, string>();
  for (const { instancePath, message } of validation) {
    const field = (context === 'querystring' ? 'query' : context) + instancePath.replaceAll('/', '.');
    if (!errors.has(field)) errors.set(field, message!);
  }
  return [...errors].slice(0, 10).map(([field, detail]) => ({ field, detail }));
}
