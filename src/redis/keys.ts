import { hash } from 'node:crypto';
import { LatchkeyError } from '../errors.js';

const MAX_SUBJECT_BYTES = 255;

/** The subject is empty, longer than 255 bytes of UTF-8, or not well-formed Unicode. */
export class InvalidSubjectError extends LatchkeyError {
  constructor() {
    super('invalid_subject', `A subject must be 1 to ${MAX_SUBJECT_BYTES} bytes of well-formed Unicode`);
  }
}

/**
 * Returns the partition of a subject: the first 16 bits of its SHA-256 as four hex digits.
 * It is the hash tag of every key that belongs to the subject.
 */
export function partitionOf(subject: string): string {
  return hash('sha256', subject, 'hex').slice(0, 4);
}

/** Percent-encodes everything but RFC 3986 unreserved characters, so that a name contains neither `:` nor `{`. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function validate(subject: string): string {
  if (subject === '' || !subject.isWellFormed() || Buffer.byteLength(subject) > MAX_SUBJECT_BYTES) {
    throw new InvalidSubjectError();
  }
  return subject;
}

/**
 * Builds the names of keys; docs/operations.md describes each of them. Session scripts derive further keys from these,
 * in the same slot (docs/adr/0001-key-layout.md).
 */
export class RedisKeys {
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

  /** The sorted set of a subject's sessions and their access keys. */
  sessions(subject: string): string {
    return this.#ofSubject('sessions', subject);
  }

  /** The list of a subject's sessions that ended recently. */
  endings(subject: string): string {
    return this.#ofSubject('endings', subject);
  }

  /** The hash of a subject's links to accounts at providers. */
  links(subject: string): string {
    return this.#ofSubject('links', subject);
  }

  user(subject: string): string {
    return this.#ofSubject('user', subject);
  }

  /** The subject of the user with this username. */
  login(username: string): string {
    return `${this.#prefix}login:${encodeName(username)}`;
  }

  /** The key that is overwritten before waiting for replicas. */
  replicationMarker(partition: string): string {
    return `${this.#prefix}{${partition}}:mark`;
  }

  /** The stream of webhook events of all subjects. */
  webhooks(): string {
    return `${this.#prefix}webhooks`;
  }

  /** A login with a provider that is in progress, by the digest of its state. */
  loginAttempt(digest: string): string {
    return `${this.#prefix}oidc:login:${digest}`;
  }

  /** The subject that a provider account is linked to, by the id of the link. */
  link(id: string): string {
    return `${this.#prefix}oidc:link:${id}`;
  }

  /** The subject of a session at a provider, by the digest of its issuer and `sid`. */
  providerSession(digest: string): string {
    return `${this.#prefix}oidc:session:${digest}`;
  }

  /** The record that a logout token was used, by the digest of its issuer and `jti`. */
  usedLogoutToken(digest: string): string {
    return `${this.#prefix}oidc:logout:${digest}`;
  }

  /** A counter of attempts. The username is hashed, so that a long one does not make a long key. */
  throttle(kind: 'account' | 'network' | 'registration' | 'provider', network: string, username?: string): string {
    const suffix = username === undefined ? '' : `:${hash('sha256', username, 'base64url')}`;
    return `${this.#prefix}throttle:${kind}:${encodeName(network)}${suffix}`;
  }

  #ofSubject(kind: 'sessions' | 'endings' | 'links' | 'user', subject: string): string {
    return `${this.#prefix}{${partitionOf(validate(subject))}}:${kind}:${encodeName(subject)}`;
  }
}
