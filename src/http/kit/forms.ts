import { OAuthError } from './oauth-error.js';

/** The parameters of a request, by name. */
export type Form = Record<string, string>;

/**
 * Reads an `application/x-www-form-urlencoded` body as RFC 6749 section 3.2 wants it:
 * a parameter without a value counts as omitted.
 *
 * @throws {OAuthError} `invalid_request` for a parameter that is there twice.
 */
export function parseForm(body: string): Form {
  const form: Form = Object.create(null) as Form;
  for (const [name, value] of new URLSearchParams(body)) {
    if (name in form) throw new OAuthError('invalid_request', 'A parameter is there twice.');
    form[name] = value;
  }
  for (const name of Object.keys(form)) if (form[name] === '') delete form[name];
  return form;
}
