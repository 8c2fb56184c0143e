/** An error response of the service, or `unavailable` if there was no response from it. */
export class LatchkeyClientError extends Error {
  override readonly name = 'LatchkeyClientError';
  /** A stable code: one of docs/errors.md, or `unavailable`. */
  readonly code: string;
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  /** More detail for some codes: why a session ended, or why a password is not allowed. */
  readonly reason: string | undefined;

  constructor(
    code: string,
    status: number,
    { detail = code, reason, cause }: { detail?: string; reason?: string | undefined; cause?: unknown } = {},
  ) {
    super(detail, { cause });
    this.code = code;
    this.status = status;
    this.reason = reason;
  }
}

interface ProblemBody {
  code?: string;
  detail?: string;
  reason?: string;
}

/** Whether refreshing may help: the access token was missing or invalid. */
export async function needsRefresh(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  const challenge = response.headers.get('www-authenticate') ?? '';
  const error = /\berror="?(\w+)/.exec(challenge)?.[1];
  if (error) return error === 'invalid_token';
  const { code } = await readProblem(response.clone());
  return code ? code === 'authentication_required' || code === 'invalid_token' : /\bbearer\b/i.test(challenge);
}

export async function readError(response: Response): Promise<LatchkeyClientError> {
  const { code = 'unavailable', ...rest } = await readProblem(response);
  return new LatchkeyClientError(code, response.status, rest);
}

export function readJson<T>(response: Response): Promise<T> {
  return response.json().catch(throwUnavailable) as Promise<T>;
}

export function throwUnavailable(cause: unknown): never {
  throw cause instanceof LatchkeyClientError ? cause : new LatchkeyClientError('unavailable', 0, { cause });
}

/** Reads an RFC 9457 problem. Returns an empty one for any other response, which may come from a proxy. */
async function readProblem(response: Response): Promise<ProblemBody> {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return {};
  const body = (await response.json().catch(() => null)) as ProblemBody | null;
  return body ?? {};
}
