import { hash } from 'node:crypto';

/**
 * Digests an identifier that is only unique for its issuer (`sub`, `sid` or `jti`), for the name of a key: the SHA-256,
 * in base64url, of the JSON `["<issuer>","<id>"]`.
 */
export function digestWithIssuer(issuer: string, id: string): string {
  return hash('sha256', JSON.stringify([issuer, id]), 'base64url');
}
