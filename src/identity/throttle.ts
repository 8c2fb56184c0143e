import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { LatchkeyError } from '../errors.js';
import { DEFAULT_THROTTLE_LIMITS, type ThrottleLimits } from '../options.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { BusyError } from './password-hasher.js';
import { networkOf } from './network.js';
import { foldUsername } from './username.js';

const REGISTRATION_WINDOW_MS = 3_600_000;
const PROVIDER_LOGIN_WINDOW_MS = 600_000;
/** Verifications in progress in one process. Further attempts are refused without a request to Redis. */
const MAX_IN_PROGRESS = 128;
/** Verifications in progress for one network, so that a single network cannot fill the queue. */
const MAX_IN_PROGRESS_PER_NETWORK = 64;
/** Retry-After for an account or a network with too many verifications in progress, which end by then. */
const IN_PROGRESS_RETRY_SECONDS = 2;

export const countAttempt = defineScript({
  file: new URL('./scripts/count.lua', import.meta.url),
  keys: ['counter'],
  args: ['points', 'windowSeconds', 'limit'],
  outcomes: ['counted', 'refused'],
});

/** Too many attempts: further ones are refused for now. It does not reveal whether the account exists. */
export class TooManyAttemptsError extends LatchkeyError {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super('too_many_requests', 'Too many attempts');
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * Limits password guessing, registrations and provider logins. The counters are in Redis, so all processes share them.
 *
 * A login attempt is counted before its password is verified, and uncounted afterwards unless it failed. So even
 * simultaneous attempts never exceed the limit. An account is throttled only for the network of the attempts, so that
 * nobody can lock out its owner.
 *
 * Every method throws {@link UnavailableError} when Redis does not answer: logins fail closed.
 */
export class Throttle {
  readonly #keys: RedisKeys;
  readonly #perAccount: RateLimiterRedis;
  readonly #perNetwork: RateLimiterRedis;
  readonly #registrations: RateLimiterRedis;
  readonly #providerLogins: RateLimiterRedis;
  readonly #maxPerAccount: number;
  readonly #allProviderLogins: RateLimiterRedis;
  readonly #inProgress = new Map<string, number>();
  #totalInProgress = 0;

  constructor(client: RedisClient, keys: RedisKeys, limits: ThrottleLimits = DEFAULT_THROTTLE_LIMITS) {
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
   * Verifies a password, unless too many attempts have failed. A verification that throws does not count as an attempt.
   *
   * @param who The username as it was typed, which need not exist, and the client's address.
   * @param verify Verifies the password.
   * @returns What `verify` returned.
   * @throws {TooManyAttemptsError} with the seconds until the next attempt is allowed.
   * @throws {BusyError} when too many verifications are in progress in this process.
   */
  async guard<T extends { readonly verified: boolean }>(
    who: { username: string; address: string },
    verify: () => Promise<T>,
  ): Promise<T> {
    if (this.#totalInProgress >= MAX_IN_PROGRESS) throw new BusyError();
    const name = networkOf(who.address);
    const account = this.#keys.throttle('account', name, toAccountName(who.username));
    const network = this.#keys.throttle('network', name);
    // Redis has counted each attempt in progress and would refuse another for the account: there is no need to ask.
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

  /** The number of verifications in progress in this process for an account or a network. */
  #inProgressFor(key: string): number {
    return this.#inProgress.get(key) ?? 0;
  }

  /** Counts an attempt to register, successful or not. @throws {TooManyAttemptsError} */
  async admitRegistration(address: string): Promise<void> {
    await consume(this.#registrations, this.#keys.throttle('registration', networkOf(address)));
  }

  /** Counts the start of a provider login, whose state Redis keeps for ten minutes. @throws {TooManyAttemptsError} */
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
    const uncount = () => Promise.all(counted.map(({ limiter, key }) => limiter.reward(key)));
    let result: T;
    try {
      for (const counter of counters) {
        await consume(counter.limiter, counter.key, () => counted.push(counter));
      }
      result = await verify();
    } catch (error) {
      // If this fails too, the counters expire by themselves.
      await uncount().catch(() => undefined);
      throw error;
    }
    if (result.verified) await uncount();
    return result;
  }
}

/**
 * Counts an attempt.
 *
 * @param onCounted Called unless the attempt is refused: also if Redis does not answer in time, because it may have
 *   counted the attempt.
 * @throws {TooManyAttemptsError}
 */
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

/** The name under which attempts are counted: the same for every spelling of a name, and one for all overlong names. */
function toAccountName(username: string): string {
  return foldUsername(username) ?? '';
}

/**
 * Presents our client to RateLimiterRedis as a client of the `redis` package. With an ioredis client, RateLimiterRedis
 * would define a command on it, although it may belong to a host application. Runs our script in place of the one that
 * RateLimiterRedis sends, which also counts the attempts that it refuses.
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
