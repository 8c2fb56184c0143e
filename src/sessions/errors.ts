import { LatchkeyError } from '../errors.js';

/** Maximum size of the data of a session, in bytes of JSON. */
export const MAX_DATA_BYTES = 2048;
/** Maximum nesting depth of the data of a session, in levels. */
export const MAX_DATA_DEPTH = 8;

/**
 * The data is too large, nested too deeply or not well-formed Unicode. Its size is limited because the access keys in
 * Redis hold copies of it.
 */
export class InvalidSessionDataError extends LatchkeyError {
  constructor() {
    super(
      'invalid_session_data',
      `The data of a session must be a JSON object of at most ${MAX_DATA_BYTES} bytes of well-formed Unicode, ` +
        `nested at most ${MAX_DATA_DEPTH} levels deep`,
    );
  }
}

/** A member of the identity is not well-formed Unicode. */
export class InvalidIdentityError extends LatchkeyError {
  constructor(member: string) {
    super('invalid_identity', `The ${member} of a session must be well-formed Unicode`);
  }
}

/** The credential has changed since it was verified, or the user is disabled. */
export class StaleCredentialError extends LatchkeyError {
  constructor() {
    super('stale_credential', 'The credential has changed, or the user is disabled');
  }
}
