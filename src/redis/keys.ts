import { hash } from 'node:crypto';
import { LatchkeyError } from '../errors.js';

const MAX_SUBJECT_BYTES = 255;

/** A subject that cannot name keys: empty, longer than 255 bytes of UTF-8, or not well-formed Unicode. */
export class InvalidSubjectError extends LatchkeyError {
  constructor() {
    super('invalid_subject', `A subject is 1 to ${MAX_SUBJECT_BYTES} bytes of well-formed Unicode`);
  }
}

/** The 16-bit partition of a subject as four hex digits: the hash tag of every key that belongs to it. */
export function partitionOf(subject: string): string {
  return hash('sha256', subject, 'hex').slice(0, 4);
}

/** Percent-encodes all but RFC 3986 unreserved characters, so that a name can hold neither `:` nor `{`. */
function encoded(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function checked(subject: string): string {
  if (subject === '' || !subject.isWellFormed() || Buffer.byteLength(subject) > MAX_SUBJECT_BYTES) {
    throw new InvalidSubjectError();
  }
  return subject;
}

/** Every key's name, made in this one place; docs/operations.md describes each. */
export class Keys {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  access(partition: string, digest: string): string {
    return `${this.#prefix}{${partition}}:access:${digest}`;
  }

  session(partition: string, sessionId: string): string {
    return `${this.#prefix}{${partition}}:session:${sessionId}`;
  }

  ended(partition: string, sessionId: string): string {
    return `${this.#prefix}{${partition}}:ended:${sessionId}`;
  }

  sessions(subject: string): string {
    return `${this.#prefix}{${partitionOf(checked(subject))}}:sessions:${encoded(subject)}`;
  }

  endings(subject: string): string {
    return `${this.#prefix}{${partitionOf(checked(subject))}}:endings:${encoded(subject)}`;
  }

  links(subject: string): string {
    return `${this.#prefix}{${partitionOf(checked(subject))}}:links:${encoded(subject)}`;
  }

  user(subject: string): string {
    return `${this.#prefix}{${partitionOf(checked(subject))}}:user:${encoded(subject)}`;
  }

  login(username: string): string {
    return `${this.#prefix}login:${encoded(username)}`;
  }

  /** What is written before replicas are waited for. */
  mark(partition: string): string {
    return `${this.#prefix}{${partition}}:mark`;
  }

  /** The stream of events for webhooks, of all subjects. */
  webhooks(): string {
    return `${this.#prefix}webhooks`;
  }

  /** Of OpenID Connect: a login under way, a link to an account, whose a session there is, or a logout token that was seen; then a digest. */
  oidc(kind: 'login' | 'link' | 'session' | 'logout', digest: string): string {
    return `${this.#prefix}oidc:${kind}:${digest}`;
  }

  /** A counter of attempts: of what, then whose. A username goes in as a digest, so that a made-up one makes no long key. */
  throttle(kind: 'account' | 'network' | 'registration' | 'provider', network: string, username?: string): string {
    const whose = username === undefined ? '' : `:${hash('sha256', username, 'base64url')}`;
    return `${this.#prefix}throttle:${kind}:${encoded(network)}${whose}`;
  }
}
