import cookie from '@fastify/cookie';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { Problem } from './problem.js';

const ATTRIBUTES = { httpOnly: true, secure: true, sameSite: 'lax' } as const;

/**
 * The cookies that hold a browser's tokens. Their name prefixes make browsers accept them only over HTTPS and from HTTP
 * replies, so that no script can plant them, and bind the access cookie to this host (docs/adr/0006; RFC 6265bis
 * section 4.1.3 and its successor).
 */
export class TokenCookies {
  readonly access: string;
  readonly refresh: string;
  /** Binds a login with a provider to this browser until it returns. No sibling host can plant it. */
  readonly loginBinding: string;
  /** Set for one second when a browser logs out. */
  readonly loggedOut: string;
  readonly #refreshPath: string;

  /** @param refreshPath browsers send the refresh cookie only below this path, such as `/auth`. */
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
   * Makes Chromium drop the user's pages from its back/forward cache. It keeps them despite `no-store` until one of
   * their HTTP-only cookies is set; deleting a cookie does not count.
   */
  markLoggedOut(reply: FastifyReply): void {
    this.#write(reply, this.loggedOut, '', 1_000);
  }

  #write(reply: FastifyReply, name: string, value: string, lifetimeMs: number): void {
    reply.setCookie(name, value, { ...this.#attributes(name), maxAge: Math.ceil(lifetimeMs / 1000) });
  }

  #attributes(name: string) {
    return { ...ATTRIBUTES, path: name.startsWith('__Host-') ? '/' : this.#refreshPath };
  }
}

/**
 * Reads one cookie from a `Cookie` header.
 *
 * @throws {Problem} `ambiguous_credentials` if the cookie appears twice, or another cookie has a similar name: an
 *   attacker may have planted it.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  let found: string | undefined;
  for (const pair of header.split(';')) {
    const start = pair.startsWith(' ') ? 1 : 0;
    const at = pair.indexOf('=', start);
    const pairName = pair.slice(start, at < 0 ? undefined : at);
    if (pairName !== name || at < 0) {
      if (looksLike(pairName, name)) {
        throw new Problem('ambiguous_credentials', { detail: `A cookie has a name similar to ${name}.` });
      }
      continue;
    }
    if (found !== undefined) {
      throw new Problem('ambiguous_credentials', { detail: `The cookie ${name} appears twice.` });
    }
    found = pair.slice(at + 1);
  }
  return found;
}

/** Browsers enforce a prefix only in a spelling that they recognise; a sibling site can plant any other. */
function looksLike(other: string, name: string): boolean {
  if (other.length < name.length) return false;
  const decoded = other.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return decoded.replace(/[^\w-]/g, '').toLowerCase() === name.toLowerCase();
}

/** Lets an instance write cookies, using the host's @fastify/cookie if there is one. {@link readCookie} reads them. */
export async function enableCookies(instance: FastifyInstance): Promise<void> {
  if (!instance.hasReplyDecorator('setCookie')) await instance.register(cookie, { hook: false });
}
