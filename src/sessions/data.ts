import { InvalidIdentityError, InvalidSessionDataError, MAX_DATA_BYTES, MAX_DATA_DEPTH } from './errors.js';
import type { Identity, SessionData } from './session.js';

/** A lone surrogate as JSON.stringify escapes it, which Lua's cjson rejects. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/**
 * Validates the strings and the data of an identity.
 *
 * @throws {InvalidIdentityError} with the name of the member that is not well-formed Unicode.
 * @throws {InvalidSessionDataError} as {@link checkSessionData} does.
 */
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
 * Applies a JSON merge patch (RFC 7396) and returns the result, without changing `target`.
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

/**
 * Validates the data of a session.
 *
 * @throws {InvalidSessionDataError} if it is more than 2,048 bytes of JSON, is nested more than 8 levels deep, or
 *   contains a lone surrogate.
 */
export function checkSessionData(data: SessionData): void {
  checkDepth(data);
  const json = JSON.stringify(data);
  if (Buffer.byteLength(json) > MAX_DATA_BYTES || LONE_SURROGATE.test(json)) throw new InvalidSessionDataError();
}

/**
 * Applies a JSON merge patch (RFC 7396) to the data of a session and returns the new data.
 *
 * @throws {InvalidSessionDataError} if the patch is too deep, or the result fails {@link checkSessionData}.
 */
export function patchSessionData(data: SessionData | undefined, patch: SessionData): SessionData {
  checkDepth(patch);
  const result = mergePatch(data, patch) as SessionData;
  checkSessionData(result);
  return result;
}

function checkDepth(data: SessionData): void {
  if (isDeeperThan(MAX_DATA_DEPTH, data)) throw new InvalidSessionDataError();
}

function isDeeperThan(depth: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth === 0 || Object.values(value).some((member) => isDeeperThan(depth - 1, member));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
