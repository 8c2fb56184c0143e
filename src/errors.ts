/** Base class of this package's errors. `code` is stable; `message` is human-readable and may change. */
export class LatchkeyError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The service cannot respond at the moment. The caller should retry after `retryAfterSeconds`. */
export class UnavailableError extends LatchkeyError {
  readonly retryAfterSeconds: number;

  constructor(message: string, options: ErrorOptions & { retryAfterSeconds?: number } = {}) {
    super('unavailable', message, options);
    this.retryAfterSeconds = options.retryAfterSeconds ?? 1;
  }
}
