import { LatchkeyError } from '../errors.js';

/** The most bytes that the data of a session may have, as JSON. */
export const MAX_DATA_BYTES = 2048;
/** How deep the data of a session may be nested. */
export const MAX_DATA_DEPTH = 8;

/** The data is too large, too deep or not well-formed Unicode. It is bounded because every access token repeats it. */
export class InvalidSessionDataError extends LatchkeyError {
  constructor() {
    super(
      'invalid_session_data',
      `The data of a session must be a JSON object of at most ${MAX_DATA_BYTES} bytes of well-formed Unicode, ` +
        `nested at most ${MAX_DATA_DEPTH} deep`,
    );
  }
}

/** A member of the identity is not well-formed Unicode. */
export class InvalidIdentityError extends LatchkeyError {
  constructor(member: string) {
    super('invalid_identity', `The ${member} of a session must be well-formed Unicode`);
  }
}

/** The credential changed after it was verified, or the subject was disabled. */
export class StaleCredentialError extends LatchkeyError {
  constructor() {
    super('stale_credential', 'The credential changed while it was being verified');
  }
}
