import { HttpError } from './http-error.js';

/** All `application/problem+json` responses, by their stable codes. docs/errors.md is generated from this table. */
export const problems = {
  invalid_request: { status: 400, detail: 'The request is malformed.' },
  invalid_username: { status: 400, detail: 'The username is not allowed.' },
  invalid_subject: { status: 400, detail: 'The subject is not valid.' },
  invalid_cursor: { status: 400, detail: 'The cursor does not come from an earlier page of results.' },
  ambiguous_credentials: { status: 400, detail: 'The request has a token in two places, or a cookie twice.' },
  authentication_required: { status: 401, detail: 'The request has no access token.' },
  invalid_token: { status: 401, detail: 'The access token is malformed, expired, revoked or unknown.' },
  invalid_credentials: { status: 401, detail: 'The username or the password is wrong.' },
  insufficient_user_authentication: { status: 401, detail: 'A more recent login is required; log in again.' },
  admin_key_required: { status: 401, detail: 'The request has no API key, or an unknown one.' },
  admin_scope_required: { status: 403, detail: 'The API key does not allow this operation.' },
  // Not a 401, which tells clients to refresh.
  reauthentication_required: { status: 403, detail: 'The refresh token is missing or no longer valid; log in again.' },
  provider_login_failed: { status: 403, detail: 'The login with the provider failed.' },
  insufficient_scope: { status: 403, detail: "The session's scope does not allow this operation." },
  cross_site_request: { status: 403, detail: 'The request comes from another origin.' },
  registration_closed: { status: 403, detail: 'Registration is closed.' },
  not_found: { status: 404, detail: 'The resource does not exist.' },
  request_timeout: { status: 408, detail: 'The request took too long to arrive.' },
  username_taken: { status: 409, detail: 'The username is taken.' },
  last_login_method: { status: 409, detail: 'This is the only way to log in, so it cannot be removed.' },
  subject_disabled: { status: 409, detail: 'The subject is disabled.' },
  payload_too_large: { status: 413, detail: 'The request is too large.' },
  unsupported_media_type: { status: 415, detail: 'The request body must be application/json.' },
  password_not_allowed: { status: 422, detail: 'The password is not allowed.' },
  invalid_session_data: {
    status: 422,
    detail: 'The data is too large, nested too deeply, or not well-formed Unicode.',
  },
  too_many_requests: { status: 429, detail: 'Too many requests; try again later.' },
  headers_too_large: { status: 431, detail: 'The request headers are too large.' },
  internal_error: { status: 500, detail: 'An internal error occurred.' },
  unavailable: { status: 503, detail: 'The service is temporarily unavailable; try again.' },
} as const satisfies Record<string, { status: number; detail: string }>;

export type ProblemCode = keyof typeof problems;

/** What is wrong with one field of a request. Never contains its value. */
export interface FieldError {
  /** The path of the field, such as `body.password`. */
  readonly field: string;
  readonly detail: string;
}

/**
 * An error that becomes an `application/problem+json` response (RFC 9457), with `errors` and `reason` as its extension
 * members.
 */
export class Problem extends HttpError {
  readonly extensions: Record<string, unknown>;

  constructor(
    code: ProblemCode,
    {
      detail = problems[code].detail,
      headers,
      cause,
      ...extensions
    }: {
      detail?: string;
      headers?: Record<string, string>;
      cause?: unknown;
      errors?: FieldError[];
      reason?: string;
    } = {},
  ) {
    super(code, detail, { status: problems[code].status, headers, cause });
    this.extensions = extensions;
  }
}
