/** The base of every error this package throws on purpose: `code` is stable, `message` is for people. */
export class LatchkeyError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A fault, never a verdict: whoever asked should ask again in `retryAfterSeconds`. */
export class UnavailableError extends LatchkeyError {
  readonly retryAfterSeconds: number;

  constructor(message: string, options: ErrorOptions & { retryAfterSeconds?: number } = {}) {
    super('unavailable', message, options);
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1;
  }
}
