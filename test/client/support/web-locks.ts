import { setTimeout as sleep } from 'node:timers/promises';

/** Exclusive locks as the Web Locks API has them, within one process: Node.js 20 has none. */
export class WebLocks {
  readonly #held = new Set<string>();
  readonly #waiting = new Map<string, { grant: () => void }[]>();
  /** The names of what was granted, in order. */
  readonly granted: string[] = [];

  async request<T>(name: string, { signal }: { signal: AbortSignal }, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#held.has(name)) await this.#turn(name, signal);
    this.#held.add(name);
    this.granted.push(name);
    try {
      return await work();
    } finally {
      // From one process to another, as messages do.
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
