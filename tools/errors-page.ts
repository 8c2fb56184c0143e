import { oauthErrors } from '../src/http/kit/oauth-error.js';
import { type ProblemCode, problems } from '../src/http/kit/problem.js';
import type { PasswordRejection } from '../src/identity/password-policy.js';
import type { EndedReason } from '../src/sessions/session.js';

const WHAT_TO_DO: Partial<Record<ProblemCode, string>> = {
  authentication_required: 'Refresh, or log in.',
  invalid_token: 'Refresh, and repeat the request with the new access token.',
  insufficient_user_authentication: 'Ask the user to log in again; refreshing does not help.',
  reauthentication_required: 'Go to the login page; `reason` says what to tell the user.',
  cross_site_request: 'Send it from a page on one of the origins in `PUBLIC_ORIGIN`, or with a bearer token.',
  password_not_allowed: 'Ask for another password; `reason` says why.',
  too_many_requests: 'Wait as many seconds as `Retry-After` says.',
  unavailable: 'Repeat the request after as many seconds as `Retry-After` says; the user stays logged in.',
};

const REFRESH_REASONS: Record<EndedReason | 'missing' | 'invalid' | 'unknown', string> = {
  missing: 'The request has no refresh token.',
  invalid: 'It is not a refresh token of this service, or it was signed with a token key that has been removed.',
  unknown: 'Its session is unknown: it has expired, or ended more than seven days ago.',
  logged_out: 'The user logged out with this session.',
  logged_out_elsewhere: 'The user ended the session from another device.',
  password_changed: 'The password was changed.',
  superseded: 'The same user logged in again with the same browser or client.',
  reused:
    'A refresh token was presented again after its successor was used. It may have been stolen, so the session ended.',
  evicted: 'The user had more sessions than `SESSIONS_PER_USER` allows.',
  revoked: 'An operator or an application ended the session.',
};

const PASSWORD_REASONS: Record<PasswordRejection, string> = {
  malformed: 'It is not well-formed Unicode.',
  too_short: 'It has fewer characters than `PASSWORD_MIN_LENGTH`.',
  too_long: 'It has more than 1,024 characters.',
  too_common: 'It is too common and easy to guess.',
  is_username: 'It is the username.',
};

/** The text of docs/errors.md, from the tables that the error handlers use. */
export function errorsPage(): string {
  return `# Errors

<!-- Generated from src/http/kit/problem.ts by npm run docs. -->

Every error is an \`application/problem+json\` (RFC 9457), except on the OAuth endpoints:

\`\`\`json
{ "title": "Forbidden", "status": 403, "code": "reauthentication_required", "detail": "…", "reason": "logged_out" }
\`\`\`

\`code\` and \`reason\` are stable, so branch on them. \`detail\` is human-readable and may change. For a malformed request, \`errors\` lists the wrong fields, each with a \`field\`, such as \`body.password\`, and a \`detail\`. No error repeats a value of the request, and none writes a cookie. A 401 has \`WWW-Authenticate\`; a 429 and a 503 have \`Retry-After\`.

${table(
  ['status', 'code', 'means', 'what to do'],
  Object.entries(problems).map(([code, { status, detail }]) => [
    String(status),
    `\`${code}\``,
    detail,
    WHAT_TO_DO[code as ProblemCode] ?? '',
  ]),
)}
## Reasons of \`reauthentication_required\`

${reasons(REFRESH_REASONS)}
## Reasons of \`password_not_allowed\`

${reasons(PASSWORD_REASONS)}
## OAuth

The OAuth endpoints respond with \`{"error": …, "error_description": …}\` (RFC 6749 section 5.2).

${table(
  ['status', 'error'],
  Object.entries(oauthErrors).map(([error, status]) => [String(status), `\`${error}\``]),
)}`;
}

function reasons(texts: Record<string, string>): string {
  return table(
    ['reason', 'means'],
    Object.entries(texts).map(([reason, text]) => [`\`${reason}\``, text]),
  );
}

function table(head: string[], rows: string[][]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}
