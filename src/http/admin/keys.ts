import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { AdminScope } from '../kit/route.js';

/** An API key as configured: its digest, never the key itself. */
export interface AdminKey {
  /** Identifies the key in the audit log. */
  readonly name: string;
  /** SHA-256 of the key, base64url (43 characters). */
  readonly digest: string;
  readonly scopes: readonly AdminScope[];
}

const PREFIX = 'lkadm_';
const SECRET_BYTES = 32;
const KEY = /^lkadm_[\w-]{48}$/;

/**
 * Generates an API key: `lkadm_`, then base64url of 32 random bytes and their CRC-32. The checksum lets secret scanners
 * recognize leaked keys.
 */
export function generateAdminKey(): string {
  const bytes = Buffer.alloc(SECRET_BYTES + 4);
  randomBytes(SECRET_BYTES).copy(bytes);
  bytes.writeUInt32BE(checksum(bytes), SECRET_BYTES);
  return PREFIX + bytes.toString('base64url');
}

/**
 * Returns the digest of an API key as it appears in the configuration: SHA-256, base64url (43 characters). A slow hash
 * is not needed, because keys have 256 random bits (NIST SP 800-63B section 5.1.2.2 asks for a salted, slow hash only
 * below 112 bits).
 */
export function digestAdminKey(key: string): string {
  return hash('sha256', key, 'base64url');
}

/** The configured API keys. */
export class AdminKeys {
  readonly #keys: readonly { readonly key: AdminKey; readonly digest: Buffer }[];

  constructor(keys: readonly AdminKey[]) {
    this.#keys = keys.map((key) => ({ key, digest: Buffer.from(key.digest, 'base64url') }));
  }

  /** Finds the configured key that matches, in constant time for each; undefined if no key does. */
  find(presented: string): AdminKey | undefined {
    if (!KEY.test(presented)) return undefined;
    const bytes = Buffer.from(presented.slice(PREFIX.length), 'base64url');
    if (bytes.readUInt32BE(SECRET_BYTES) !== checksum(bytes)) return undefined;
    const digest = Buffer.from(digestAdminKey(presented), 'base64url');
    return this.#keys.filter((each) => timingSafeEqual(each.digest, digest))[0]?.key;
  }
}

function checksum(bytes: Buffer): number {
  return crc32(bytes.subarray(0, SECRET_BYTES), crc32(PREFIX));
}
