import cookie from '@fastify/cookie';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { Problem } from './problem.js';

const ATTRIBUTES = { httpOnly: true, secure: true, sameSite: 'lax' } as const;

/**
 * The two cookies of a browser. Their prefixes bind them to HTTPS and to answers over HTTP, where no script can plant them,
 * and the access cookie to this host (docs/adr/0006; RFC 6265bis section 4.1.3 and its successor).
 */
export class TokenCookies {
  readonly access: string;
  readonly refresh: string;
  /** Binds a login with a provider to this browser, until it comes back; of this host, so that no neighbour plants it. */
  readonly oidc: string;
  /** Set for a moment when a browser logs out. */
  readonly loggedOut: string;
  readonly #refreshPath: string;

  /** @param refreshPath the only paths that the refresh cookie is sent to, such as `/auth`. */
  constructor({ name, refreshPath }: { name: string; refreshPath: string }) {
    this.access = `__Host-Http-${name}`;
    this.refresh = `__Http-${name}-refresh`;
    this.oidc = `${this.access}-oidc`;
    this.loggedOut = `${this.access}-logged-out`;
    this.#refreshPath = refreshPath;
  }

  set(reply: FastifyReply, tokens: IssuedTokens): void {
    this.setAccess(reply, tokens);
    this.#write(reply, this.refresh, tokens.pair.refresh.token, tokens.refreshExpiresInMs);
  }

  setAccess(reply: FastifyReply, { pair, accessExpiresInMs }: IssuedTokens): void {
    this.#write(reply, this.access, pair.access.token, accessExpiresInMs);
  }

  setOidc(reply: FastifyReply, binding: string, lifetimeMs: number): void {
    this.#write(reply, this.oidc, binding, lifetimeMs);
  }

  clear(reply: FastifyReply): void {
    for (const name of [this.access, this.refresh]) reply.clearCookie(name, this.#attributes(name));
  }

  /**
   * Tells a browser that the pages behind it are not to be shown again. Chromium keeps them in its back/forward cache in
   * spite of `no-store`, until it sees an HTTP-only cookie of theirs set; one that is taken away does not count.
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
 * @throws {Problem} `ambiguous_credentials` when it is there twice, or a name is there that only looks like it:
 *   it may have been planted.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  let found: string | undefined;
  for (const pair of header.split(';')) {
    const start = pair.startsWith(' ') ? 1 : 0;
    const at = pair.indexOf('=', start);
    const given = pair.slice(start, at < 0 ? undefined : at);
    if (given !== name || at < 0) {
      if (looksLike(given, name))
        throw new Problem('ambiguous_credentials', { detail: `A cookie only looks like ${name}.` });
      continue;
    }
    if (found !== undefined)
      throw new Problem('ambiguous_credentials', { detail: `The cookie ${name} is there twice.` });
    found = pair.slice(at + 1);
  }
  return found;
}

/** Browsers guard our prefixes only where they recognise them; another spelling can be planted from a sibling site. */
function looksLike(given: string, name: string): boolean {
  if (given.length < name.length) return false;
  const decoded = given.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return decoded.replace(/[^\w-]/g, '').toLowerCase() === name.toLowerCase();
}

/** Lets an instance write cookies, by the host's @fastify/cookie if it has it. Ours are read where they are needed. */
export async function enableCookies(instance: FastifyInstance): Promise<void> {
  if (!instance.hasReplyDecorator('setCookie')) await instance.register(cookie, { hook: false });
}
