import { HttpError } from './http-error.js';

/** A form contains a parameter more than once. */
export class MalformedFormError extends HttpError {
  constructor() {
    super('invalid_request', 'A parameter occurs more than once.', { status: 400 });
  }
}

/** The parameters of a request, by name. */
export type Form = Record<string, string>;

/**
 * Reads an `application/x-www-form-urlencoded` body as RFC 6749 section 3.2 requires:
 * a parameter without a value counts as omitted.
 *
 * @throws {MalformedFormError} if a parameter occurs more than once.
 */
export function parseForm(body: string): Form {
  const form: Form = Object.create(null) as Form;
  for (const [name, value] of new URLSearchParams(body)) {
    if (name in form) throw new MalformedFormError();
    form[name] = value;
  }
  for (const name of Object.keys(form)) if (form[name] === '') delete form[name];
  return form;
}
