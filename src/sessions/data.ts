import { LatchkeyError } from '../errors.js';
import type { Identity, SessionData } from './session.js';

const MAX_BYTES = 2048;
const MAX_DEPTH = 8;
/** A lone surrogate, as JSON.stringify writes it: Lua could not read it back. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/** Custom data that a session cannot carry: every access token repeats it, so it is bounded. */
export class InvalidSessionDataError extends LatchkeyError {
  constructor() {
    super(
      'invalid_session_data',
      `The data of a session is a JSON object of at most ${MAX_BYTES} bytes of well-formed Unicode, nested at most ${MAX_DEPTH} deep`,
    );
  }
}

/** What is said about a user is no well-formed Unicode. */
export class InvalidIdentityError extends LatchkeyError {
  constructor(member: string) {
    super('invalid_identity', `The ${member} of a session must be well-formed Unicode`);
  }
}

/** @throws {InvalidIdentityError} which names the member; {@link InvalidSessionDataError} */
export function checkIdentity({
  username,
  methods,
  client,
  scope,
  data,
}: Omit<Identity, 'subject' | 'authenticatedAt'>): void {
  const texts = { username, methods: methods.join(), client, scope };
  for (const [member, text] of Object.entries(texts))
    if (text?.isWellFormed() === false) throw new InvalidIdentityError(member);
  if (data) checkSessionData(data);
}

/**
 * What a JSON document becomes by a merge patch (RFC 7396): members of objects one by one, `null` removes one,
 * everything else is replaced.
 */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** @throws {InvalidSessionDataError} for more than 2,048 bytes of JSON, lone surrogates, or objects and lists nested more than 8 deep. */
export function checkSessionData(data: SessionData): void {
  checkDepth(data);
  const json = JSON.stringify(data);
  if (Buffer.byteLength(json) > MAX_BYTES || LONE_SURROGATE.test(json)) throw new InvalidSessionDataError();
}

/**
 * The data that a patch makes of the data before it.
 *
 * @throws {InvalidSessionDataError} as {@link checkSessionData}, of the result.
 */
export function patchSessionData(data: SessionData | undefined, patch: SessionData): SessionData {
  checkDepth(patch);
  const result = mergePatch(data, patch) as SessionData;
  checkSessionData(result);
  return result;
}

function checkDepth(data: SessionData): void {
  if (isDeeperThan(MAX_DEPTH, data)) throw new InvalidSessionDataError();
}

function isDeeperThan(depth: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((member) => isDeeperThan(depth - 1, member));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
