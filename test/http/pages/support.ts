import type { LightMyRequestResponse } from 'fastify';
import type { TestService } from '../../support/service.js';

export type Headers = Record<string, string>;

/** Headers of a browser's same-origin request, without cookies. */
export const SAME_ORIGIN: Headers = { 'sec-fetch-site': 'same-origin' };
export const GERMAN: Headers = { 'accept-language': 'de-AT, de;q=0.9, en;q=0.5' };

/** Gives a function that posts a form as a browser does. */
export function formPoster({ inject }: TestService) {
  return (
    url: string,
    fields: Record<string, string> | string,
    headers: Headers = SAME_ORIGIN,
  ): Promise<LightMyRequestResponse> =>
    inject({
      method: 'POST',
      url,
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams(fields).toString(),
    });
}

/** Gives the text of a page, without tags and unescaped. */
export function textOf({ body }: Pick<LightMyRequestResponse, 'body'>): string {
  return body
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(/\s+/g, ' ');
}
