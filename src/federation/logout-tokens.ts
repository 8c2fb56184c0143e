import { type JWTPayload, jwtVerify } from 'jose';
import { LatchkeyError } from '../errors.js';
import { callRedis } from '../redis/faults.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import { digestWithIssuer } from './digest.js';
import type { DiscoveredProvider } from './providers.js';

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const MAX_AGE_SECONDS = 10 * 60;
const CLOCK_TOLERANCE_SECONDS = 30;
/** A record outlives its token: it expires only after the token has become too old. */
const RECORD_LIFETIME_MS = (MAX_AGE_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;

/** The claims of a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4). */
export interface LogoutClaims {
  readonly issuer: string;
  /** The user at the provider. At least one of `sub` and `sid` is present. */
  readonly sub: string | undefined;
  /** The session at the provider. */
  readonly sid: string | undefined;
  readonly jti: string;
}

/** A logout token that is not valid, or was used before. */
export class InvalidLogoutTokenError extends LatchkeyError {
  constructor(cause?: unknown) {
    super('invalid_logout_token', 'The logout token is not valid', { cause });
  }
}

/**
 * Verifies logout tokens and records the ones that were used, at `oidc:logout:<SHA-256 of ["issuer","jti"]>`.
 *
 * Every method throws {@link UnavailableError} if Redis does not reply.
 */
export class LogoutTokens {
  readonly #client: RedisClient;
  readonly #keys: RedisKeys;

  constructor(client: RedisClient, keys: RedisKeys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** @throws {InvalidLogoutTokenError} if the token is not valid (section 2.6) or has been marked as used. */
  async verify(provider: DiscoveredProvider, token: string): Promise<LogoutClaims> {
    const claims = await verifyLogoutToken(provider, token);
    if ((await callRedis(() => this.#client.get(this.#keyOf(claims)))) !== null) throw new InvalidLogoutTokenError();
    return claims;
  }

  /** Call this after ending the sessions, so that a token can be sent again if ending them failed. */
  async markAsUsed(claims: LogoutClaims): Promise<void> {
    await callRedis(() => this.#client.set(this.#keyOf(claims), '1', 'PX', RECORD_LIFETIME_MS));
  }

  #keyOf({ issuer, jti }: LogoutClaims): string {
    return this.#keys.usedLogoutToken(digestWithIssuer(issuer, jti));
  }
}

async function verifyLogoutToken({ provider, getKey }: DiscoveredProvider, token: string): Promise<LogoutClaims> {
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, getKey, {
      issuer: provider.issuer,
      audience: provider.clientId,
      typ: 'logout+jwt',
      requiredClaims: ['iat', 'exp', 'jti', 'events'],
      maxTokenAge: MAX_AGE_SECONDS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    }));
  } catch (error) {
    throw new InvalidLogoutTokenError(error);
  }
  const { iss, sub, sid, jti, events, nonce } = payload;
  const event = (events as Record<string, unknown>)[LOGOUT_EVENT];
  if (typeof event !== 'object' || event === null || nonce !== undefined || typeof jti !== 'string')
    throw new InvalidLogoutTokenError();
  if ((sub ?? sid) === undefined || !isOptionalString(sub) || !isOptionalString(sid))
    throw new InvalidLogoutTokenError();
  return { issuer: iss!, sub, sid, jti };
}

function isOptionalString(claim: unknown): claim is string | undefined {
  return claim === undefined || typeof claim === 'string';
}
