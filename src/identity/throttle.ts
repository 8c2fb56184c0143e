import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { LatchkeyError } from '../errors.js';
import { DEFAULT_THROTTLE_LIMITS, type ThrottleLimits } from '../options.js';
import type { Keys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { BusyError } from './password-hasher.js';
import { networkOf } from './network.js';
import { foldUsername } from './username.js';

const REGISTRATION_WINDOW_MS = 3_600_000;
const PROVIDER_LOGIN_WINDOW_MS = 600_000;
/** Attempts that one process looks at together; a flood beyond it is turned away before it costs Redis anything. */
const MAX_IN_PROGRESS = 128;
/** Of these, from one network: nobody fills the queue for all. */
const MAX_IN_PROGRESS_PER_NETWORK = 64;
/** How soon attempts that are under way have ended, whatever comes of them. */
const IN_PROGRESS_RETRY_SECONDS = 2;

export const countAttempt = defineScript({
  file: new URL('./scripts/count.lua', import.meta.url),
  keys: ['counter'],
  args: ['points', 'windowSeconds', 'limit'],
  outcomes: ['counted', 'refused'],
});

/** So many attempts have failed that no more are looked at for now. It says nothing about whether the account exists. */
export class TooManyAttemptsError extends LatchkeyError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super('too_many_requests', 'Too many attempts');
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * Bounds guessing, in Redis, so for all processes together. An attempt is counted before its password is looked at
 * and taken back unless it failed: however many come at once, no more than the limit are looked at.
 * An account is throttled for one network alone, never for all, so that nobody can lock its owner out.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer: logins fail closed.
 */
export class Throttle {
  readonly #keys: Keys;
  readonly #perAccount: RateLimiterRedis;
  readonly #perNetwork: RateLimiterRedis;
  readonly #registrations: RateLimiterRedis;
  readonly #providerLogins: RateLimiterRedis;
  readonly #maxPerAccount: number;
  readonly #allProviderLogins: RateLimiterRedis;
  readonly #inProgress = new Map<string, number>();
  #totalInProgress = 0;

  constructor(client: RedisClient, keys: Keys, limits: ThrottleLimits = DEFAULT_THROTTLE_LIMITS) {
    const limiter = (points: number, windowMs: number) =>
      new RateLimiterRedis({
        storeClient: createCounterStore(client),
        useRedisPackage: true,
        keyPrefix: '',
        points,
        duration: Math.ceil(windowMs / 1000),
      });
    this.#keys = keys;
    this.#maxPerAccount = limits.loginFailuresPerAccount;
    this.#perAccount = limiter(limits.loginFailuresPerAccount, limits.loginFailureWindowMs);
    this.#perNetwork = limiter(limits.loginFailuresPerNetwork, limits.loginFailureWindowMs);
    this.#registrations = limiter(limits.registrationsPerNetwork, REGISTRATION_WINDOW_MS);
    this.#providerLogins = limiter(limits.providerLoginsPerNetwork, PROVIDER_LOGIN_WINDOW_MS);
    this.#allProviderLogins = limiter(limits.providerLogins, PROVIDER_LOGIN_WINDOW_MS);
  }

  /**
   * Runs a verification of a user's password, unless too many have failed. One that throws was a fault and does not count.
   *
   * @param who the username as it was typed, whether a user has it or not, and the address that it comes from.
   * @throws {TooManyAttemptsError} with the seconds until the next attempt is looked at.
   * @throws {BusyError} when too many are looked at right now.
   */
  async guard<T extends { readonly verified: boolean }>(
    who: { username: string; address: string },
    verify: () => Promise<T>,
  ): Promise<T> {
    if (this.#totalInProgress >= MAX_IN_PROGRESS) throw new BusyError();
    const name = networkOf(who.address);
    const account = this.#keys.throttle('account', name, toAccountName(who.username));
    const network = this.#keys.throttle('network', name);
    // Each of them is counted, so Redis would refuse one more of an account; it need not be asked.
    if (this.#inProgressFor(account) >= this.#maxPerAccount) throw new TooManyAttemptsError(IN_PROGRESS_RETRY_SECONDS);
    if (this.#inProgressFor(network) >= MAX_IN_PROGRESS_PER_NETWORK)
      throw new TooManyAttemptsError(IN_PROGRESS_RETRY_SECONDS);
    this.#totalInProgress++;
    for (const key of [account, network]) this.#inProgress.set(key, this.#inProgressFor(key) + 1);
    try {
      return await this.#verifyCounted({ account, network }, verify);
    } finally {
      this.#totalInProgress--;
      for (const key of [account, network]) {
        const left = this.#inProgressFor(key) - 1;
        if (left > 0) this.#inProgress.set(key, left);
        else this.#inProgress.delete(key);
      }
    }
  }

  /** Attempts that are under way in this process, of an account or a network. */
  #inProgressFor(key: string): number {
    return this.#inProgress.get(key) ?? 0;
  }

  /** Counts an attempt to register. @throws {TooManyAttemptsError} */
  async admitRegistration(address: string): Promise<void> {
    await consume(this.#registrations, this.#keys.throttle('registration', networkOf(address)));
  }

  /** Counts a login with a provider that is begun, which Redis keeps in mind for ten minutes. @throws {TooManyAttemptsError} */
  async admitProviderLogin(address: string): Promise<void> {
    await consume(this.#providerLogins, this.#keys.throttle('provider', networkOf(address)));
    await consume(this.#allProviderLogins, this.#keys.throttle('provider', 'all'));
  }

  async #verifyCounted<T extends { readonly verified: boolean }>(
    keys: { account: string; network: string },
    verify: () => Promise<T>,
  ): Promise<T> {
    const counters = [
      { limiter: this.#perAccount, key: keys.account },
      { limiter: this.#perNetwork, key: keys.network },
    ];
    const counted: typeof counters = [];
    const takeBack = () => Promise.all(counted.map(({ limiter, key }) => limiter.reward(key)));
    let result: T;
    try {
      for (const counter of counters) {
        await consume(counter.limiter, counter.key, () => counted.push(counter));
      }
      result = await verify();
    } catch (error) {
      // If Redis is away too, the counters expire by themselves.
      await takeBack().catch(() => undefined);
      throw error;
    }
    if (result.verified) await takeBack();
    return result;
  }
}

/** @param onCounted called unless it is refused: when Redis answers too late, it may have been counted too. */
async function consume(limiter: RateLimiterRedis, key: string, onCounted?: () => void): Promise<void> {
  try {
    await limiter.consume(key);
  } catch (error) {
    if (error instanceof RateLimiterRes)
      throw new TooManyAttemptsError(Math.max(1, Math.ceil(error.msBeforeNext / 1000)));
    onCounted?.();
    throw error;
  }
  onCounted?.();
}

/** Every spelling of a name is one account, and all names that are too long together. */
function toAccountName(username: string): string {
  return foldUsername(username) ?? '';
}

/**
 * What RateLimiterRedis asks of a client of the `redis` package, on ours. On an ioredis client it would define a command,
 * and the client may belong to a host application; its own script also counts the attempts that it refuses.
 */
function createCounterStore(client: RedisClient) {
  return {
    async eval(
      _script: string,
      { keys: [counter], arguments: [points, windowSeconds, limit] }: { keys: string[]; arguments: string[] },
    ) {
      const reply = await countAttempt(client, {
        keys: { counter: counter! },
        args: { points: points!, windowSeconds: windowSeconds!, limit: limit! },
      });
      return [Number(reply.count), Number(reply.expiresIn)];
    },
  };
}
