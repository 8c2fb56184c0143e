import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { argon2id, hash, verify } from 'argon2';
import { UnavailableError } from '../errors.js';
import { requireAtLeast } from '../options.js';

/** OWASP's minimum for argon2id (Password Storage Cheat Sheet). Memory in KiB. */
const MIN_PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashes run on libuv's thread pool, which has 4 threads by default. File access and DNS lookups need one too. */
const MAX_CONCURRENCY = 3;
const QUEUE_LIMIT_PER_HASH = 64;
const RETRY_AFTER_SECONDS = 2;

const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}$/;

export interface PasswordHasherOptions {
  /** Memory for one hash, in KiB; 19,456 by default, which is also the minimum. */
  memoryCost?: number;
  /** Passes over the memory; 2 by default, which is also the minimum. */
  timeCost?: number;
  /** Lanes; 1 by default, which is also the minimum. */
  parallelism?: number;
  /** Processes that compute hashes on this machine and share its cores; 1 by default. */
  processes?: number;
  /** Hashes computed at the same time; by default all cores but one, divided by `processes`, from 1 to 3. */
  concurrency?: number;
  /** Hashes that may wait; by default 64 times `concurrency`, which is about 2 seconds of work. */
  queueLimit?: number;
}

/** Too many hashes are waiting to be computed in reasonable time. */
export class BusyError extends UnavailableError {
  constructor() {
    super('Too many passwords are being checked', { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
}

/**
 * Hashes passwords with argon2id (RFC 9106) into PHC strings. Computes only a few hashes at the same time and bounds
 * the queue, so that a burst of logins does not starve other requests.
 */
export class PasswordHasher {
  readonly #parameters: { memoryCost: number; timeCost: number; parallelism: number };
  readonly #decoy: string;
  readonly #concurrency: number;
  readonly #queueLimit: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** @throws {RangeError} for parameters below OWASP's minimum, a `concurrency` below 1, or a `queueLimit` below 0. */
  constructor(options: PasswordHasherOptions = {}) {
    const { memoryCost, timeCost, parallelism } = { ...MIN_PARAMETERS, ...options };
    const { processes = 1, concurrency = defaultConcurrency(processes) } = options;
    const { queueLimit = QUEUE_LIMIT_PER_HASH * concurrency } = options;
    requireAtLeast('memoryCost', memoryCost, MIN_PARAMETERS.memoryCost);
    requireAtLeast('timeCost', timeCost, MIN_PARAMETERS.timeCost);
    requireAtLeast('parallelism', parallelism, MIN_PARAMETERS.parallelism);
    requireAtLeast('concurrency', concurrency, 1);
    requireAtLeast('queueLimit', queueLimit, 0);
    this.#parameters = { memoryCost, timeCost, parallelism };
    this.#decoy = createDecoy(this.#parameters);
    this.#concurrency = concurrency;
    this.#queueLimit = queueLimit;
  }

  /** How many hashes are being computed, and how many are waiting. */
  get load(): { running: number; queued: number } {
    return { running: this.#running, queued: this.#queue.length };
  }

  /**
   * Hashes a password.
   *
   * @returns a PHC string.
   * @throws {BusyError} if the queue is full.
   * @throws the signal's reason if it is aborted while the hash is waiting.
   */
  hash(password: string, signal?: AbortSignal): Promise<string> {
    return this.#schedule(() => hash(password, { ...this.#parameters, type: argon2id }), signal);
  }

  /**
   * Whether a password matches a hash.
   *
   * @throws {TypeError} if `phc` is not an argon2id PHC string, which is an error and not a wrong password.
   * @throws the same as {@link hash}.
   */
  async verify(phc: string, password: string, signal?: AbortSignal): Promise<boolean> {
    parseParameters(phc);
    return this.#schedule(() => verify(phc, password), signal);
  }

  /** Takes as long as {@link verify}, for a user who does not exist, and returns false. */
  async verifyDecoy(password: string, signal?: AbortSignal): Promise<false> {
    await this.verify(this.#decoy, password, signal);
    return false;
  }

  /** Whether a hash was computed with other parameters than the current ones. @throws {TypeError} as {@link verify}. */
  needsRehash(phc: string): boolean {
    const { memoryCost, timeCost, parallelism } = parseParameters(phc);
    const current = this.#parameters;
    return memoryCost !== current.memoryCost || timeCost !== current.timeCost || parallelism !== current.parallelism;
  }

  async #schedule<T>(job: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running < this.#concurrency) this.#running++;
    else await this.#waitForTurn(signal);
    try {
      return await job();
    } finally {
      // The slot goes to the next job directly, so that a new job cannot overtake those that are waiting.
      const next = this.#queue.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #waitForTurn(signal: AbortSignal | undefined): Promise<void> {
    if (this.#queue.length >= this.#queueLimit) throw new BusyError();
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        this.#queue.splice(this.#queue.indexOf(begin), 1);
        reject(signal?.reason as Error);
      };
      this.#queue.push(begin);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}

function defaultConcurrency(processes: number): number {
  return Math.min(Math.max(1, Math.floor((availableParallelism() - 1) / processes)), MAX_CONCURRENCY);
}

function parseParameters(phc: string): { memoryCost: number; timeCost: number; parallelism: number } {
  const [, memoryCost, timeCost, parallelism] = PHC.exec(phc) ?? [];
  if (memoryCost === undefined) throw new TypeError('A stored password is not an argon2id PHC string');
  return { memoryCost: Number(memoryCost), timeCost: Number(timeCost), parallelism: Number(parallelism) };
}

/** A hash that matches no password and costs as much to verify as a real one. */
function createDecoy(parameters: { memoryCost: number; timeCost: number; parallelism: number }): string {
  const { memoryCost, timeCost, parallelism } = parameters;
  const unpadded = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '');
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${unpadded(16)}$${unpadded(32)}`;
}
