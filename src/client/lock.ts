/**
 * Creates a lock that all tabs share. Without the Web Locks API it works only within a tab, which is safe: the service
 * tolerates concurrent refreshes.
 *
 * @param timeoutMs how long to wait for the lock before proceeding without it
 */
export function createLock(name: string, timeoutMs: number): <T>(work: () => Promise<T>) => Promise<T> {
  let queue: Promise<unknown> = Promise.resolve();

  return function withLock<T>(work: () => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks;
    if (!locks) {
      const result = queue.then(work);
      queue = result.catch(() => {});
      return result;
    }
    let started = false;
    const start = () => {
      started = true;
      return work();
    };
    return locks.request(name, { signal: AbortSignal.timeout(timeoutMs) }, start).catch((error: unknown) => {
      if (started) throw error;
      return work();
    });
  };
}
