import { LatchkeyError } from '../../errors.js';

/**
 * Base of the errors that have an HTTP status. Each route group has its own error format, and every error handler knows
 * this class, so an error that reaches the handler of another route group keeps its status.
 */
export class HttpError extends LatchkeyError {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(
    code: string,
    message: string,
    { status, headers = {}, cause }: { status: number; headers?: Record<string, string> | undefined; cause?: unknown },
  ) {
    super(code, message, { cause });
    this.status = status;
    this.headers = headers;
  }
}
