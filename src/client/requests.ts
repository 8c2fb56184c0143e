export type FetchArguments = Parameters<typeof fetch>;

const REPEATABLE_BODIES = [Blob, FormData, URLSearchParams, ArrayBuffer];

export function resolveUrl(url: string | URL): URL {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
}

/** Returns a function that recreates the request for a retry; undefined if its body can be sent only once. */
export function prepareRetry(...[input, init]: FetchArguments): (() => FetchArguments) | undefined {
  const body = init?.body;
  if (body) {
    if (
      typeof body !== 'string' &&
      !ArrayBuffer.isView(body) &&
      !REPEATABLE_BODIES.some((constructor) => body instanceof constructor)
    )
      return undefined;
    const copy = new Request(input, init);
    return () => [copy.clone()];
  }
  // Not every browser has Request.body.
  const hasNoBody =
    typeof input === 'string' || !('url' in input) || input.body === null || /^(GET|HEAD)$/.test(input.method);
  return hasNoBody ? () => [input, init] : undefined;
}

/** Settles as `work` does, but rejects immediately if the signal aborts. */
export function rejectOnAbort<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
