import type { LightMyRequestResponse } from 'fastify';
import type { TestService } from '../../support/service.js';

export type Headers = Record<string, string>;

/** A browser's request from a page of ours, without cookies. */
export const OURS: Headers = { 'sec-fetch-site': 'same-origin' };
export const GERMAN: Headers = { 'accept-language': 'de-AT, de;q=0.9, en;q=0.5' };

/** Posts a form as a browser does. */
export function formPoster({ inject }: TestService) {
  return (
    url: string,
    fields: Record<string, string> | string,
    headers: Headers = OURS,
  ): Promise<LightMyRequestResponse> =>
    inject({
      method: 'POST',
      url,
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams(fields).toString(),
    });
}

/** The text between the tags of a page, unescaped. */
export function textOf({ body }: Pick<LightMyRequestResponse, 'body'>): string {
  return body
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(/\s+/g, ' ');
}
