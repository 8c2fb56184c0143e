import cookie from '@fastify/cookie';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { Problem } from './problem.js';

const ATTRIBUTES = { httpOnly: true, secure: true, sameSite: 'lax' } as const;

/**
 * Names and writes the cookies that hold a browser's tokens. Browsers accept cookies with these name prefixes only over
 * HTTPS and only from HTTP responses, not from scripts. `__Host-` also binds the access cookie to this host
 * (docs/adr/0006; RFC 6265bis section 4.1.3).
 */
export class TokenCookies {
  /** The name of the cookie with the access token. */
  readonly access: string;
  /** The name of the cookie with the refresh token. */
  readonly refresh: string;
  /** The name of the cookie that binds a login attempt with a provider to this browser. No sibling host can set it. */
  readonly loginBinding: string;
  /** The name of the cookie that is set for one second when a browser logs out: see {@link markLoggedOut}. */
  readonly loggedOut: string;
  readonly #refreshPath: string;

  /** @param refreshPath the path below which browsers send the refresh cookie, such as `/auth`. */
  constructor({ name, refreshPath }: { name: string; refreshPath: string }) {
    this.access = `__Host-Http-${name}`;
    this.refresh = `__Http-${name}-refresh`;
    this.loginBinding = `${this.access}-oidc`;
    this.loggedOut = `${this.access}-logged-out`;
    this.#refreshPath = refreshPath;
  }

  setTokens(reply: FastifyReply, tokens: IssuedTokens): void {
    this.setAccess(reply, tokens);
    this.#write(reply, this.refresh, tokens.pair.refresh.token, tokens.refreshExpiresInMs);
  }

  setAccess(reply: FastifyReply, { pair, accessExpiresInMs }: IssuedTokens): void {
    this.#write(reply, this.access, pair.access.token, accessExpiresInMs);
  }

  setLoginBinding(reply: FastifyReply, binding: string, lifetimeMs: number): void {
    this.#write(reply, this.loginBinding, binding, lifetimeMs);
  }

  clearTokens(reply: FastifyReply): void {
    for (const name of [this.access, this.refresh]) reply.clearCookie(name, this.#attributes(name));
  }

  /**
   * Makes Chromium remove the user's pages from its back/forward cache. Despite `no-store`, it keeps them there until
   * an HttpOnly cookie is set for this site. Deleting one has no effect, so this sets one that expires after a second.
   */
  markLoggedOut(reply: FastifyReply): void {
    this.#write(reply, this.loggedOut, '', 1_000);
  }

  #write(reply: FastifyReply, name: string, value: string, lifetimeMs: number): void {
    reply.setCookie(name, value, { ...this.#attributes(name), maxAge: Math.ceil(lifetimeMs / 1000) });
  }

  #attributes(name: string) {
    // Browsers reject a `__Host-` cookie with any other path.
    return { ...ATTRIBUTES, path: name.startsWith('__Host-') ? '/' : this.#refreshPath };
  }
}

/**
 * Reads one cookie from a `Cookie` header.
 *
 * @throws {Problem} `ambiguous_credentials` if the cookie occurs twice or another cookie has a confusingly similar
 *   name, since an attacker may have set it.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  let found: string | undefined;
  for (const pair of header.split(';')) {
    const start = pair.startsWith(' ') ? 1 : 0;
    const separator = pair.indexOf('=', start);
    const pairName = pair.slice(start, separator < 0 ? undefined : separator);
    if (pairName !== name || separator < 0) {
      if (looksLike(pairName, name)) {
        throw new Problem('ambiguous_credentials', { detail: `A cookie has a name similar to ${name}.` });
      }
      continue;
    }
    if (found !== undefined) {
      throw new Problem('ambiguous_credentials', { detail: `The cookie ${name} appears twice.` });
    }
    found = pair.slice(separator + 1);
  }
  return found;
}

/**
 * Whether a cookie name differs from `name` only in case, encoding or punctuation. Browsers enforce the rules of a
 * prefix only for spellings that they recognize, so a sibling host can set a cookie with any other spelling.
 */
function looksLike(other: string, name: string): boolean {
  if (other.length < name.length) return false;
  const decoded = other.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return decoded.replace(/[^\w-]/g, '').toLowerCase() === name.toLowerCase();
}

/** Registers @fastify/cookie for writing cookies, unless the host application has. {@link readCookie} reads them. */
export async function enableCookies(instance: FastifyInstance): Promise<void> {
  if (!instance.hasReplyDecorator('setCookie')) await instance.register(cookie, { hook: false });
}
