import { hash, timingSafeEqual } from 'node:crypto';
import { Type } from '@sinclair/typebox';
import type { Form } from '../kit/forms.js';
import { OAuthError } from '../kit/oauth-error.js';

/** An OAuth client (RFC 6749 section 2). It may refresh, introspect and revoke tokens. */
export interface OAuthClient {
  readonly id: string;
  /**
   * SHA-256 of the client secret, base64url. A slow hash is unnecessary, because secrets are random. Omit it for a
   * public client.
   */
  readonly secretHash?: string | undefined;
}

/** Body parameters of a client that does not use Basic authentication. */
export const ClientCredentials = {
  client_id: Type.Optional(Type.String()),
  client_secret: Type.Optional(Type.String()),
};

const BASIC = /^basic +([a-z0-9+/]+=*) *$/i;
const CHALLENGE = { 'www-authenticate': 'Basic realm="latchkey", charset="UTF-8"' };
/** Compared with the secret of an unknown or public client, to keep the timing constant. */
const NO_SECRET = Buffer.alloc(32);

/** The clients that may use the OAuth endpoints. */
export class OAuthClients {
  readonly #byId: ReadonlyMap<string, OAuthClient>;

  constructor(clients: readonly OAuthClient[]) {
    this.#byId = new Map(clients.map((client) => [client.id, client]));
  }

  /**
   * Authenticates a client by `client_secret_basic` or `client_secret_post` (RFC 6749 section 2.3.1); a public client
   * only sends its `client_id`.
   *
   * @throws {OAuthError} `invalid_request` if both methods are used at once, otherwise `invalid_client`.
   */
  authenticate(
    authorization: string | undefined,
    { client_id: idInBody, client_secret: secretInBody }: Form,
  ): OAuthClient {
    if (authorization === undefined) {
      if (idInBody === undefined) throw invalidClient();
      return this.#verify(idInBody, secretInBody);
    }
    if (secretInBody !== undefined)
      throw new OAuthError('invalid_request', 'The client used two authentication methods.');
    const { id, secret } = parseBasic(authorization);
    if (idInBody !== undefined && idInBody !== id)
      throw new OAuthError('invalid_request', 'The request names two different clients.');
    return this.#verify(id, secret);
  }

  #verify(id: string, secret = ''): OAuthClient {
    const client = this.#byId.get(id);
    const expected = client?.secretHash === undefined ? NO_SECRET : Buffer.from(client.secretHash, 'base64url');
    const matches = timingSafeEqual(hash('sha256', secret, 'buffer'), expected);
    const isPublic = client !== undefined && client.secretHash === undefined && secret === '';
    if (!client || !(matches || isPublic)) throw invalidClient();
    return client;
  }
}

/** @throws {OAuthError} `invalid_client` for a public client. */
export function requireConfidential(client: OAuthClient): void {
  if (client.secretHash === undefined) throw invalidClient('This endpoint requires a confidential client.');
}

function invalidClient(description = 'The client is unknown, or its authentication failed.'): OAuthError {
  return new OAuthError('invalid_client', description, { headers: CHALLENGE });
}

/** Parses Basic credentials, whose two parts are form-encoded (RFC 6749 section 2.3.1). */
function parseBasic(authorization: string): { id: string; secret: string } {
  const text = Buffer.from(BASIC.exec(authorization)?.[1] ?? '', 'base64').toString();
  const at = text.indexOf(':');
  if (at < 0) throw invalidClient();
  return { id: decodeFormValue(text.slice(0, at)), secret: decodeFormValue(text.slice(at + 1)) };
}

function decodeFormValue(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw invalidClient();
  }
}
