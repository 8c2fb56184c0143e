import type { FastifyReply, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import type { Services } from '../flows/services.js';
import type { Problem } from '../kit/problem.js';
import type { ProviderButton } from './credentials-pages.js';
import type { Brand, PageContext } from './layout.js';
import type { Assets } from './load-assets.js';
import { LANGUAGES, type Strings, stringsFor } from './strings.js';

/** Dependencies and settings of the pages. */
export interface PagesOptions {
  readonly services: Services;
  readonly brand: Brand;
  readonly assets: Assets;
  /** Prefix of the `/auth` routes. Forms are posted below it, so that browsers send the refresh cookie. */
  readonly authPrefix: string;
  /** Minimum length of a new password, in characters. */
  readonly passwordMinLength: number;
  readonly providers: readonly ProviderButton[];
}

export const ACCOUNT_PATH = '/account';

/** Builds the context of a page, in the language that its reader prefers. */
export function buildContext(
  { raw }: FastifyRequest,
  { brand, assets, authPrefix, services: { loginPage } }: PagesOptions,
): PageContext {
  return { brand, assets, authPrefix, loginPage, strings: stringsFor(new Negotiator(raw).language(LANGUAGES)) };
}

export function sendPage(reply: FastifyReply, page: string, status = 200): FastifyReply {
  return reply.code(status).type('text/html; charset=utf-8').send(page);
}

/** Finds the text that a page shows for a problem: by its reason or, failing that, its code. */
export function findErrorText({ errors }: Strings, { code, extensions }: Problem): string {
  const texts: Record<string, string> = errors;
  return texts[String(extensions.reason)] ?? texts[code] ?? errors.other;
}

/** Finds the text for a key from the query string; undefined for an unknown key. */
export function findText(texts: Record<string, string>, key: string | undefined): string | undefined {
  return key !== undefined && Object.hasOwn(texts, key) ? texts[key] : undefined;
}
