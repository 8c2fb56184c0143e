import { createHmac, hash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { isTokenKeyLongEnough, MIN_TOKEN_KEY_LENGTH } from '../options.js';

const ACCESS_PREFIX = 'lka_';
const REFRESH_PREFIX = 'lkr_';
const PREFIX_LENGTH = 4;
const SECRET_BYTES = 32;
const CRC_BYTES = 4;
const DIGEST_LENGTH = 32;

/** Access token: partition (2 bytes), secret (32), CRC-32 (4). */
const ACCESS_SECRET_AT = 2;
const ACCESS_BYTES = ACCESS_SECRET_AT + SECRET_BYTES + CRC_BYTES;

/** Refresh token: key id (4 bytes), partition (2), session id (16), generation (4), secret (32), MAC (32), CRC-32. */
const PARTITION_AT = 4;
const SESSION_ID_AT = 6;
const GENERATION_AT = 22;
const SECRET_AT = 26;
const MAC_AT = SECRET_AT + SECRET_BYTES;
const REFRESH_CRC_AT = MAC_AT + 32;
const REFRESH_BYTES = REFRESH_CRC_AT + CRC_BYTES;

/**
 * The unused bits of the last character must be zero, so that each token has exactly one encoding (RFC 4648
 * section 3.5).
 */
const ACCESS_PATTERN = /^lka_[\w-]{50}[AEIMQUYcgkosw048]$/;
const REFRESH_PATTERN = /^lkr_[\w-]{125}[AQgw]$/;
const ACCESS_CRC_SEED = crc32(ACCESS_PREFIX);
/** Shared by all calls, so that the most frequent operation allocates no buffer. */
const accessBuffer = Buffer.alloc(ACCESS_BYTES);
const REFRESH_CRC_SEED = crc32(REFRESH_PREFIX);
const MAX_GENERATION = 0xffffffff;

/** A well-formed access token, with the partition (four hex digits) and the digest that name its key in Redis. */
export interface AccessToken {
  readonly token: string;
  readonly partition: string;
  readonly digest: string;
}

/** An authentic refresh token: its MAC was verified, or this process created it. */
export interface RefreshToken {
  readonly token: string;
  readonly partition: string;
  /** 16 bytes, base64url. */
  readonly sessionId: string;
  /** 1 for the pair that a login issues; each rotation adds one. */
  readonly generation: number;
  readonly digest: string;
}

/** A refresh token, and the access token that is derived from it. */
export interface TokenPair {
  readonly access: AccessToken;
  readonly refresh: RefreshToken;
}

/**
 * The first 192 bits of a token's SHA-256 (FIPS 180-4; truncated as in NIST SP 800-107, section 5.1), base64url:
 * the only form in which Redis stores a token.
 */
export function digestToken(token: string): string {
  return hash('sha256', token, 'base64url').slice(0, DIGEST_LENGTH);
}

/**
 * Parses an access token. Needs neither Redis nor a key.
 *
 * @returns undefined unless prefix, encoding and checksum are exactly as {@link TokenKeys} writes them.
 */
export function parseAccessToken(token: string): AccessToken | undefined {
  if (!decodeToken(token, ACCESS_PATTERN, ACCESS_CRC_SEED, accessBuffer)) return undefined;
  return { token, partition: accessBuffer.toString('hex', 0, ACCESS_SECRET_AT), digest: digestToken(token) };
}

/**
 * The keys that sign and derive tokens. The first one signs the tokens of new sessions; later tokens of a session use
 * the same key as its first one.
 *
 * A key and its 4-byte id are derived from each secret (at least 32 characters) with HKDF-SHA-256 (RFC 5869).
 */
export class TokenKeys {
  readonly #signing: TokenKey;
  readonly #byId: ReadonlyMap<number, TokenKey>;

  /** @throws {RangeError} if there is no secret, or one has fewer than 32 characters. */
  constructor(secrets: readonly [string, ...string[]]) {
    if (secrets.length === 0 || !secrets.every(isTokenKeyLongEnough)) {
      throw new RangeError(`There must be at least one token key, each of at least ${MIN_TOKEN_KEY_LENGTH} characters`);
    }
    const keys = secrets.map((secret) => new TokenKey(secret));
    this.#signing = keys[0]!;
    this.#byId = new Map(keys.map((key) => [key.id, key]));
    if (this.#byId.size !== keys.length) throw new Error('The same token key is listed twice');
  }

  /** Creates the first pair of a new session, with a random session id and secret. */
  mint(partition: string): TokenPair {
    const sessionId = randomBytes(16);
    return this.#signing.derivePair(
      this.#signing.buildRefreshToken(partition, sessionId, 1, randomBytes(SECRET_BYTES)),
    );
  }

  /**
   * Parses and authenticates a refresh token, without Redis.
   *
   * @returns undefined if its encoding, checksum, key id or MAC (compared in constant time) is wrong.
   */
  parse(token: string): RefreshToken | undefined {
    const bytes = Buffer.alloc(REFRESH_BYTES);
    if (!decodeToken(token, REFRESH_PATTERN, REFRESH_CRC_SEED, bytes)) return undefined;
    return this.#byId.get(bytes.readUInt32BE(0))?.verify(token, bytes);
  }

  /** Returns the pair of a refresh token: the token itself and the access token derived from it. */
  derivePair(refresh: RefreshToken): TokenPair {
    return this.#keyOf(refresh).derivePair(refresh);
  }

  /** Returns the pair that follows a refresh token, always the same one. */
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

  buildRefreshToken(partition: string, sessionId: Buffer, generation: number, secret: Buffer): RefreshToken {
    const bytes = Buffer.alloc(REFRESH_BYTES);
    bytes.writeUInt32BE(this.id, 0);
    bytes.write(partition, PARTITION_AT, 'hex');
    sessionId.copy(bytes, SESSION_ID_AT);
    bytes.writeUInt32BE(generation, GENERATION_AT);
    secret.copy(bytes, SECRET_AT);
    this.#mac('mac', bytes.subarray(0, MAC_AT)).copy(bytes, MAC_AT);
    return toRefreshToken(encodeToken(bytes, REFRESH_PREFIX, REFRESH_CRC_SEED), bytes);
  }

  verify(token: string, bytes: Buffer): RefreshToken | undefined {
    const expected = this.#mac('mac', bytes.subarray(0, MAC_AT));
    if (!timingSafeEqual(expected, bytes.subarray(MAC_AT, REFRESH_CRC_AT))) return undefined;
    return toRefreshToken(token, bytes);
  }

  derivePair(refresh: RefreshToken): TokenPair {
    const bytes = Buffer.alloc(ACCESS_BYTES);
    bytes.write(refresh.partition, 0, 'hex');
    this.#mac('access', refresh.token).copy(bytes, ACCESS_SECRET_AT);
    const token = encodeToken(bytes, ACCESS_PREFIX, ACCESS_CRC_SEED);
    return { refresh, access: { token, partition: refresh.partition, digest: digestToken(token) } };
  }

  deriveSuccessor({ token, partition, sessionId, generation }: RefreshToken): TokenPair {
    const next = Math.min(generation + 1, MAX_GENERATION);
    return this.derivePair(
      this.buildRefreshToken(partition, Buffer.from(sessionId, 'base64url'), next, this.#mac('refresh', token)),
    );
  }

  #mac(purpose: 'mac' | 'refresh' | 'access', message: string | Buffer): Buffer {
    return createHmac('sha256', this.#key).update(purpose).update(message).digest();
  }
}

function toRefreshToken(token: string, bytes: Buffer): RefreshToken {
  return {
    token,
    partition: bytes.toString('hex', PARTITION_AT, SESSION_ID_AT),
    sessionId: bytes.toString('base64url', SESSION_ID_AT, GENERATION_AT),
    generation: bytes.readUInt32BE(GENERATION_AT),
    digest: digestToken(token),
  };
}

function encodeToken(bytes: Buffer, prefix: string, seed: number): string {
  const body = bytes.subarray(0, bytes.length - CRC_BYTES);
  bytes.writeUInt32BE(crc32(body, seed), body.length);
  return prefix + bytes.toString('base64url');
}

/** Decodes a token into `bytes`, whose length must match. Returns false if the pattern or the checksum is wrong. */
function decodeToken(token: string, pattern: RegExp, seed: number, bytes: Buffer): boolean {
  if (!pattern.test(token)) return false;
  bytes.write(token.slice(PREFIX_LENGTH), 'base64url');
  const body = bytes.subarray(0, bytes.length - CRC_BYTES);
  return bytes.readUInt32BE(body.length) === crc32(body, seed);
}
