import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { argon2id, hash, verify } from 'argon2';
import { UnavailableError } from '../errors.js';

/** OWASP's minimum for argon2id (Password Storage Cheat Sheet). */
const MIN_PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Hashes run on libuv's threads, 4 unless told otherwise, which file access and name lookups need too. */
const MAX_CONCURRENCY = 3;
const QUEUE_LIMIT_PER_HASH = 64;
const RETRY_AFTER_SECONDS = 2;

const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}$/;

export interface PasswordHasherOptions {
  /** KiB of memory for one hash; at least and by default 19,456. */
  memoryCost?: number;
  /** Passes over the memory; at least and by default 2. */
  timeCost?: number;
  /** Lanes; at least and by default 1. */
  parallelism?: number;
  /** Processes that hash on this machine, which share its cores; 1 by default. */
  processes?: number;
  /** Hashes computed at a time; by default this process's share of one less than there are cores, 1 to 3. */
  concurrency?: number;
  /** Hashes that may wait; by default 64 for each that is computed at a time, about 2 seconds' worth. */
  queueLimit?: number;
}

/** More hashes are waiting than can be computed in reasonable time. */
export class BusyError extends UnavailableError {
  constructor() {
    super('Too many passwords are being checked', { retryAfterSeconds: RETRY_AFTER_SECONDS });
  }
}

/** argon2id (RFC 9106) in PHC strings, a few at a time and with a bounded queue, so that a flood of logins leaves the rest alive. */
export class PasswordHasher {
  readonly #parameters: { memoryCost: number; timeCost: number; parallelism: number };
  readonly #decoy: string;
  readonly #concurrency: number;
  readonly #queueLimit: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** @throws {RangeError} for parameters weaker than OWASP's minimum, and for limits that are no positive whole numbers. */
  constructor(options: PasswordHasherOptions = {}) {
    const { memoryCost, timeCost, parallelism } = { ...MIN_PARAMETERS, ...options };
    const { processes = 1, concurrency = divideThreads(availableParallelism() - 1, processes) } = options;
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

  /** Hashes computed now, and those waiting. */
  get load(): { running: number; queued: number } {
    return { running: this.#running, queued: this.#queue.length };
  }

  /**
   * The PHC string of a password.
   *
   * @throws {BusyError} when the queue is full; the signal's reason when it is aborted before its turn.
   */
  hash(password: string, signal?: AbortSignal): Promise<string> {
    return this.#schedule(() => hash(password, { ...this.#parameters, type: argon2id }), signal);
  }

  /**
   * Whether the password is the one that was hashed.
   *
   * @throws {TypeError} when `phc` is no argon2id PHC string, which is a fault and not a wrong password; else as {@link hash}.
   */
  async verify(phc: string, password: string, signal?: AbortSignal): Promise<boolean> {
    parseParameters(phc);
    return this.#schedule(() => verify(phc, password), signal);
  }

  /** Costs what {@link verify} costs, for a user who does not exist, and is always false. */
  async verifyDecoy(password: string, signal?: AbortSignal): Promise<false> {
    await this.verify(this.#decoy, password, signal);
    return false;
  }

  /** Whether a hash was made with other parameters than these. @throws {TypeError} as {@link verify}. */
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
      // A turn is handed on without being given up, so that no newcomer slips in before those who wait.
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

function divideThreads(threads: number, processes: number): number {
  return Math.min(Math.max(1, Math.floor(threads / processes)), MAX_CONCURRENCY);
}

function requireAtLeast(name: string, value: number, minimum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new RangeError(`${name} must be a whole number of at least ${minimum}`);
  }
}

function parseParameters(phc: string): { memoryCost: number; timeCost: number; parallelism: number } {
  const [, memoryCost, timeCost, parallelism] = PHC.exec(phc) ?? [];
  if (memoryCost === undefined) throw new TypeError('A stored password is not an argon2id PHC string');
  return { memoryCost: Number(memoryCost), timeCost: Number(timeCost), parallelism: Number(parallelism) };
}

/** A hash that no password has, with the costs of a real one. */
function createDecoy(parameters: { memoryCost: number; timeCost: number; parallelism: number }): string {
  const { memoryCost, timeCost, parallelism } = parameters;
  const unpadded = (bytes: number) => randomBytes(bytes).toString('base64').replace(/=+$/, '');
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${unpadded(16)}$${unpadded(32)}`;
}
