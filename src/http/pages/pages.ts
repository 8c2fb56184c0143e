import type { FastifyReply, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import type { Principal } from '../../sessions/session.js';
import { readAccessToken } from '../kit/presented-tokens.js';
import type { Problem } from '../kit/problem.js';
import { refreshTokens } from '../flows/refresh.js';
import type { Services } from '../flows/services.js';
import { deliverTokens } from '../kit/token-response.js';
import type { ProviderButton } from './credentials-pages.js';
import type { Brand, PageContext } from './layout.js';
import type { Assets } from './load-assets.js';
import { LANGUAGES, type Strings, stringsFor } from './strings.js';

/** What the pages stand on. */
export interface PagesOptions {
  readonly services: Services;
  readonly brand: Brand;
  readonly assets: Assets;
  /** Where the `/auth` routes are: forms are posted below it, so that the refresh cookie comes along. */
  readonly base: string;
  /** Characters that a new password has at least. */
  readonly passwordMinLength: number;
  readonly providers: readonly ProviderButton[];
}

export const ACCOUNT = '/account';

/** A page's context in the language that its reader prefers. */
export function buildContext(
  { raw }: FastifyRequest,
  { brand, assets, base, services: { loginPage } }: PagesOptions,
): PageContext {
  return { brand, assets, base, loginPage, strings: stringsFor(new Negotiator(raw).language(LANGUAGES)) };
}

export function sendPage(reply: FastifyReply, page: string, status = 200): FastifyReply {
  return reply.code(status).type('text/html; charset=utf-8').send(page);
}

/** Who reads a page, by the access token; that of an OAuth client is nobody's here. */
export async function findVisitor(
  request: FastifyRequest,
  { sessions, cookies }: Services,
): Promise<Principal | undefined> {
  const presented = readAccessToken(request, cookies);
  const principal = presented && (await sessions.authenticate(presented.token));
  return principal?.client === undefined ? principal : undefined;
}

/**
 * Who posts a form: by the access token or, since what was typed must not be lost to its expiry, by the refresh token.
 *
 * @throws {Problem} `reauthentication_required`
 */
export async function requireVisitor(
  request: FastifyRequest,
  reply: FastifyReply,
  services: Services,
): Promise<Principal> {
  const visitor = await findVisitor(request, services);
  if (visitor) return visitor;
  const { tokens, transport, keepsRefreshToken } = await refreshTokens(request, services);
  deliverTokens(reply, services.cookies, tokens, { transport, keepsRefreshToken });
  return tokens.principal;
}

/** Sends a reader to the login page, where they read why, and from there on to a path of ours. */
export function redirectToLogin(
  reply: FastifyReply,
  { loginPage }: Services,
  reason: string,
  to = ACCOUNT,
): FastifyReply {
  return reply.redirect(`${loginPage}?${new URLSearchParams({ reason, to }).toString()}`, 303);
}

/** Sends a reader on to a path of ours by way of their refresh token or, where that is of no use, of the login page. */
export function redirectToContinue(reply: FastifyReply, { base }: PagesOptions, to: string): FastifyReply {
  return reply.redirect(`${base}/continue?${new URLSearchParams({ to }).toString()}`, 303);
}

/** Sends whoever has to log in first to where they read why, and then on; undefined for every other problem. */
export function redirectToAuthenticate(
  reply: FastifyReply,
  options: PagesOptions,
  { code, extensions }: Problem,
  to = ACCOUNT,
): FastifyReply | undefined {
  switch (code) {
    case 'reauthentication_required':
      return redirectToLogin(reply, options.services, String(extensions.reason), to);
    case 'insufficient_user_authentication':
      return redirectToLogin(reply, options.services, code, to);
    case 'authentication_required':
    case 'invalid_token':
      return redirectToContinue(reply, options, to);
    default:
      return undefined;
  }
}

/** What a page says of a problem. */
export function findErrorText({ errors }: Strings, { code, extensions }: Problem): string {
  const words: Record<string, string> = errors;
  return words[String(extensions.reason)] ?? words[code] ?? errors.other;
}

/** The text for a word that came in the query; undefined for a word that we do not have. */
export function findText(texts: Record<string, string>, word: string | undefined): string | undefined {
  return word !== undefined && Object.hasOwn(texts, word) ? texts[word] : undefined;
}
