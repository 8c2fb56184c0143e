import { createHmac, hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { isTokenKeyLongEnough, MIN_TOKEN_KEY_LENGTH } from '../options.js';

const ACCESS_PREFIX = 'lka_';
const REFRESH_PREFIX = 'lkr_';
const PREFIX_LENGTH = 4;
const SECRET_BYTES = 32;
const CRC_BYTES = 4;
const DIGEST_LENGTH = 32;
const ACCESS_BYTES = 2 + SECRET_BYTES + CRC_BYTES;
const REFRESH_MAC_AT = 4 + 2 + 16 + 4 + SECRET_BYTES;
const REFRESH_BYTES = REFRESH_MAC_AT + 32 + CRC_BYTES;
/** The unused bits of the last character must be zero, so that each token has one spelling (RFC 4648 section 3.5). */
const ACCESS_FORM = /^lka_[\w-]{50}[AEIMQUYcgkosw048]$/;
const REFRESH_FORM = /^lkr_[\w-]{125}[AQgw]$/;
const ACCESS_CRC_SEED = crc32(ACCESS_PREFIX);
/** Reused for every access token, so that the most frequent operation allocates no buffer. */
const ACCESS_FRAME = Buffer.alloc(ACCESS_BYTES);
const REFRESH_CRC_SEED = crc32(REFRESH_PREFIX);
const MAX_GENERATION = 0xffffffff;

/** A well-formed access token, with the partition (four hex digits) and the digest that name its key in Redis. */
export interface AccessToken {
  readonly token: string;
  readonly partition: string;
  readonly digest: string;
}

/** An authentic refresh token: its MAC was verified, or this process made it. */
export interface RefreshToken {
  readonly token: string;
  readonly partition: string;
  /** 16 bytes, base64url. */
  readonly sessionId: string;
  /** 1 for the pair that a login issues; each rotation adds one. */
  readonly generation: number;
  readonly digest: string;
}

/** What a client holds: the refresh token, and the access token that is derived from it. */
export interface TokenPair {
  readonly access: AccessToken;
  readonly refresh: RefreshToken;
}

/**
 * The first 192 bits of a token's SHA-256 (FIPS 180-4; truncated as in NIST SP 800-107, section 5.1), base64url:
 * the only form in which Redis ever sees a token.
 */
export function digestToken(token: string): string {
  return hash('sha256', token, 'base64url').slice(0, DIGEST_LENGTH);
}

/**
 * Reads the frame of an access token, without Redis and without a key.
 *
 * @returns undefined unless prefix, encoding and checksum are exactly as {@link TokenKeys} writes them.
 */
export function parseAccessToken(token: string): AccessToken | undefined {
  if (!decodeFrame(token, ACCESS_FORM, ACCESS_CRC_SEED, ACCESS_FRAME)) return undefined;
  return { token, partition: ACCESS_FRAME.toString('hex', 0, 2), digest: digestToken(token) };
}

/**
 * The keys that sign and derive tokens. The first one signs new sessions; each session keeps the key it started with.
 *
 * Each secret (at least 32 characters) is stretched with HKDF-SHA-256 (RFC 5869) into a key and its 4-byte id.
 */
export class TokenKeys {
  readonly #signing: TokenKey;
  readonly #byId: ReadonlyMap<number, TokenKey>;

  /** @throws {RangeError} for no secret, or one of fewer than 32 characters. */
  constructor(secrets: readonly [string, ...string[]]) {
    if (secrets.length === 0 || !secrets.every(isTokenKeyLongEnough)) {
      throw new RangeError(`Token keys are one or more secrets of at least ${MIN_TOKEN_KEY_LENGTH} characters`);
    }
    const keys = secrets.map((secret) => new TokenKey(secret));
    this.#signing = keys[0]!;
    this.#byId = new Map(keys.map((key) => [key.id, key]));
    if (this.#byId.size !== keys.length) throw new Error('Two token keys share an id');
  }

  /** Makes the first pair of a new session: a random session id and refresh token, and the access token derived. */
  mint(partition: string): TokenPair {
    const sessionId = randomBytes(16);
    return this.#signing.derivePair(this.#signing.frame(partition, sessionId, 1, randomBytes(SECRET_BYTES)));
  }

  /**
   * Reads and authenticates a refresh token, without Redis.
   *
   * @returns undefined if its encoding, checksum, key id or MAC (compared in constant time) is wrong.
   */
  parse(token: string): RefreshToken | undefined {
    const bytes = Buffer.alloc(REFRESH_BYTES);
    if (!decodeFrame(token, REFRESH_FORM, REFRESH_CRC_SEED, bytes)) return undefined;
    return this.#byId.get(bytes.readUInt32BE(0))?.verify(token, bytes);
  }

  /** The pair of a refresh token: the token itself and the access token derived from it. */
  derivePair(refresh: RefreshToken): TokenPair {
    return this.#keyOf(refresh).derivePair(refresh);
  }

  /** The pair that follows a refresh token. The same key always derives the same pair. */
  deriveSuccessor(refresh: RefreshToken): TokenPair {
    return this.#keyOf(refresh).deriveSuccessor(refresh);
  }

  #keyOf({ token }: RefreshToken): TokenKey {
    const id = Buffer.from(token.slice(PREFIX_LENGTH, PREFIX_LENGTH + 6), 'base64url').readUInt32BE(0);
    return this.#byId.get(id)!;
  }
}

class TokenKey {
  readonly id: number;
  readonly #key: Buffer;

  constructor(secret: string) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, 'latchkey', 'token key', 32));
    this.id = Buffer.from(hkdfSync('sha256', secret, 'latchkey', 'token key id', 4)).readUInt32BE(0);
  }

  frame(partition: string, sessionId: Buffer, generation: number, secret: Buffer): RefreshToken {
    const bytes = Buffer.alloc(REFRESH_BYTES);
    bytes.writeUInt32BE(this.id, 0);
    bytes.write(partition, 4, 'hex');
    sessionId.copy(bytes, 6);
    bytes.writeUInt32BE(generation, 22);
    secret.copy(bytes, 26);
    this.#mac('mac', bytes.subarray(0, REFRESH_MAC_AT)).copy(bytes, REFRESH_MAC_AT);
    return toRefreshToken(encodeFrame(bytes, REFRESH_PREFIX, REFRESH_CRC_SEED), bytes);
  }

  verify(token: string, bytes: Buffer): RefreshToken | undefined {
    const expected = this.#mac('mac', bytes.subarray(0, REFRESH_MAC_AT));
    if (!timingSafeEqual(expected, bytes.subarray(REFRESH_MAC_AT, REFRESH_MAC_AT + 32))) return undefined;
    return toRefreshToken(token, bytes);
  }

  derivePair(refresh: RefreshToken): TokenPair {
    const bytes = Buffer.alloc(ACCESS_BYTES);
    bytes.write(refresh.partition, 0, 'hex');
    this.#mac('access', refresh.token).copy(bytes, 2);
    const token = encodeFrame(bytes, ACCESS_PREFIX, ACCESS_CRC_SEED);
    return { refresh, access: { token, partition: refresh.partition, digest: digestToken(token) } };
  }

  deriveSuccessor({ token, partition, sessionId, generation }: RefreshToken): TokenPair {
    const next = Math.min(generation + 1, MAX_GENERATION);
    return this.derivePair(
      this.frame(partition, Buffer.from(sessionId, 'base64url'), next, this.#mac('refresh', token)),
    );
  }

  #mac(purpose: 'mac' | 'refresh' | 'access', message: string | Buffer): Buffer {
    return createHmac('sha256', this.#key).update(purpose).update(message).digest();
  }
}

function toRefreshToken(token: string, bytes: Buffer): RefreshToken {
  return {
    token,
    partition: bytes.toString('hex', 4, 6),
    sessionId: bytes.toString('base64url', 6, 22),
    generation: bytes.readUInt32BE(22),
    digest: digestToken(token),
  };
}

function encodeFrame(bytes: Buffer, prefix: string, seed: number): string {
  const body = bytes.subarray(0, bytes.length - CRC_BYTES);
  bytes.writeUInt32BE(crc32(body, seed), body.length);
  return prefix + bytes.toString('base64url');
}

/** Decodes a token into `bytes`, which has its exact length; false if its form or its checksum is wrong. */
function decodeFrame(token: string, form: RegExp, seed: number, bytes: Buffer): boolean {
  if (!form.test(token)) return false;
  bytes.write(token.slice(PREFIX_LENGTH), 'base64url');
  const body = bytes.subarray(0, bytes.length - CRC_BYTES);
  return bytes.readUInt32BE(body.length) === crc32(body, seed);
}
