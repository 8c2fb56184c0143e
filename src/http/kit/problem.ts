import { LatchkeyError } from '../../errors.js';

/** Every error that the service answers with, by its stable code; docs/errors.md is generated from this. */
export const problems = {
  invalid_request: { status: 400, detail: 'The request is malformed.' },
  invalid_username: { status: 400, detail: 'The username is not one that a user can have.' },
  invalid_subject: { status: 400, detail: 'The subject is not one that a session can be for.' },
  invalid_cursor: { status: 400, detail: 'The cursor is not one that a search answered with.' },
  ambiguous_credentials: { status: 400, detail: 'The request shows a token in two ways, or a cookie twice.' },
  authentication_required: { status: 401, detail: 'The request carries no access token.' },
  invalid_token: { status: 401, detail: 'The access token is malformed, expired, revoked or unknown.' },
  invalid_credentials: { status: 401, detail: 'The username or the password is wrong.' },
  insufficient_user_authentication: { status: 401, detail: 'The last login is too long ago for this; log in again.' },
  admin_key_required: { status: 401, detail: 'The request carries no API key, or an unknown one.' },
  admin_scope_required: { status: 403, detail: 'The API key does not allow this.' },
  reauthentication_required: { status: 403, detail: 'The refresh token is of no use; log in again.' },
  provider_login_failed: { status: 403, detail: 'The login with the provider failed.' },
  insufficient_scope: { status: 403, detail: 'The session was not issued for this.' },
  cross_site_request: { status: 403, detail: 'The request comes from another site.' },
  registration_closed: { status: 403, detail: 'Registration is closed.' },
  not_found: { status: 404, detail: 'There is nothing here.' },
  request_timeout: { status: 408, detail: 'The request took too long to arrive.' },
  username_taken: { status: 409, detail: 'The username is taken.' },
  last_login_method: { status: 409, detail: 'There would be no way left to log in.' },
  subject_disabled: { status: 409, detail: 'The subject is disabled.' },
  payload_too_large: { status: 413, detail: 'The request is too large.' },
  unsupported_media_type: { status: 415, detail: 'The request body must be application/json.' },
  password_not_allowed: { status: 422, detail: 'The password is not allowed.' },
  invalid_session_data: { status: 422, detail: 'The data is too large, nested too deep, or no well-formed Unicode.' },
  too_many_requests: { status: 429, detail: 'Too many attempts from this network; try again later.' },
  headers_too_large: { status: 431, detail: 'The header of the request is too large.' },
  internal_error: { status: 500, detail: 'Something went wrong on our side.' },
  unavailable: { status: 503, detail: 'The service cannot answer right now; try again.' },
} as const satisfies Record<string, { status: number; detail: string }>;

export type ProblemCode = keyof typeof problems;

/** What is wrong with one field of a request; never its value. */
export interface FieldError {
  /** Where it is, such as `body.password`. */
  readonly field: string;
  readonly detail: string;
}

/** An error that is answered as `application/problem+json` (RFC 9457), with `extensions` as its further members. */
export class Problem extends LatchkeyError {
  readonly status: number;
  readonly extensions: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(
    code: ProblemCode,
    {
      detail = problems[code].detail,
      headers = {},
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
    super(code, detail, { cause });
    this.status = problems[code].status;
    this.headers = headers;
    this.extensions = extensions;
  }
}
