import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { LatchkeyError } from '../errors.js';
import type { ThrottleLimits } from '../options.js';
import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { networkOf } from './network.js';
import { BusyError } from './password-hasher.js';
import { foldUsername } from './username.js';

const REGISTRATION_WINDOW_MS = 3_600_000;
const PROVIDER_LOGIN_WINDOW_MS = 600_000;
/** Verifications in progress in one process. Further attempts are refused without a request to Redis. */
const MAX_IN_PROGRESS = 128;
/** Verifications in progress for one network, so that a single network cannot fill the queue. */
const MAX_IN_PROGRESS_PER_NETWORK = 64;
/** Retry-After for an account or a network with too many verifications in progress, which end by then. */
const IN_PROGRESS_RETRY_SECONDS = 2;

const countAttempt = defineScript({
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
 * A login attempt is counted before its password is verified, and subtracted again unless it failed. So even
 * simultaneous attempts never exceed the limit. An account is throttled only for the network of the attempts, so that
 * an attacker elsewhere cannot lock out its owner.
 *
 * Every method throws {@link UnavailableError} if Redis does not answer: logins fail closed.
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

  constructor(client: RedisClient, keys: RedisKeys, limits: ThrottleLimits) {
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
   * @param who the username as it was typed, which need not exist, and the client's address.
   * @param verify verifies the password.
   * @returns what `verify` returned.
   * @throws {TooManyAttemptsError} if too many attempts have failed, with the seconds until the next one is allowed.
   * @throws {BusyError} if too many verifications are in progress in this process.
   */
  async guard<T extends { readonly verified: boolean }>(
    who: { username: string; address: string },
    verify: () => Promise<T>,
  ): Promise<T> {
    if (this.#totalInProgress >= MAX_IN_PROGRESS) throw new BusyError();
    const networkName = networkOf(who.address);
    const account = this.#keys.throttle('account', networkName, toAccountName(who.username));
    const network = this.#keys.throttle('network', networkName);
    // Redis has counted each attempt in progress, and would refuse another one for the account.
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
        const remaining = this.#inProgressFor(key) - 1;
        if (remaining > 0) this.#inProgress.set(key, remaining);
        else this.#inProgress.delete(key);
      }
    }
  }

  /** Returns the number of verifications in progress in this process for an account or a network. */
  #inProgressFor(key: string): number {
    return this.#inProgress.get(key) ?? 0;
  }

  /** Counts an attempt to register, successful or not. @throws {TooManyAttemptsError} if there were too many. */
  async admitRegistration(address: string): Promise<void> {
    await consume(this.#registrations, this.#keys.throttle('registration', networkOf(address)));
  }

  /**
   * Counts the start of a provider login, whose state Redis keeps for ten minutes.
   *
   * @throws {TooManyAttemptsError} if there were too many from this network, or in total.
   */
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
 * @param onCounted called unless the attempt is refused: also if Redis does not answer in time, because it may have
 *   counted the attempt.
 * @throws {TooManyAttemptsError} if the limit is reached.
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

/** Returns the name to count attempts under: one for all spellings of a username, one for all overlong usernames. */
function toAccountName(username: string): string {
  return foldUsername(username) ?? '';
}

/**
 * Presents an ioredis client to RateLimiterRedis as a client of the `redis` package. On an ioredis client it would
 * define a command, although the client may belong to a host application. Runs `count.lua` instead of the script that
 * RateLimiterRedis sends, because that one also counts the attempts that it refuses.
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
