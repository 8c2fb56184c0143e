import { setTimeout as sleep } from 'node:timers/promises';

/** A stand-in for the exclusive locks of the Web Locks API, which Node.js 20 lacks. */
export class WebLocks {
  readonly #held = new Set<string>();
  readonly #waiting = new Map<string, { grant: () => void }[]>();
  /** Names of the locks that were granted, in order. */
  readonly granted: string[] = [];

  async request<T>(name: string, { signal }: { signal: AbortSignal }, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#held.has(name)) await this.#turn(name, signal);
    this.#held.add(name);
    this.granted.push(name);
    try {
      return await work();
    } finally {
      // In a browser, the lock passes from one process to another, which takes time.
      await sleep(10);
      const next = this.#waiting.get(name)?.shift();
      if (next) next.grant();
      else this.#held.delete(name);
    }
  }

  #turn(name: string, signal: AbortSignal): Promise<void> {
    const queue = this.#waiting.get(name) ?? [];
    this.#waiting.set(name, queue);
    return new Promise((grant, reject) => {
      const waiting = { grant };
      queue.push(waiting);
      signal.addEventListener('abort', () => {
        if (!queue.includes(waiting)) return;
        queue.splice(queue.indexOf(waiting), 1);
        reject(signal.reason as Error);
      });
    });
  }
}
