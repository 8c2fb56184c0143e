import { createHash, randomBytes } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callRedis } from '../../redis/faults.js';
import { readCookie } from '../kit/cookies.js';
import type { OidcServices } from './services.js';

const LIFETIME_MS = 10 * 60_000;
const BINDING = /^[\w-]{43}$/;

/** A login with a provider that is under way: kept in Redis for ten minutes, by the digest of its state, and taken once. */
export interface Attempt {
  readonly provider: string;
  readonly verifier: string;
  readonly nonce: string;
  /** Where the provider sends the browser back to. */
  readonly redirectUri: string;
  /** The path to go on to. */
  readonly to: string;
  /** The digest of the cookie of the browser that it began in. */
  readonly browser: string;
  /** The subject that the account is to be linked to, if it is not for a login, and when that began, milliseconds since 1970. */
  readonly link?: { readonly subject: string; readonly begunAt: number };
}

type Stores = Pick<OidcServices, 'redis' | 'keys' | 'cookies'>;

/** Begins an attempt that is bound to this browser; several can be under way in it. */
export async function begin(
  request: FastifyRequest,
  reply: FastifyReply,
  { redis, keys, cookies }: Stores,
  state: string,
  attempt: Omit<Attempt, 'browser'>,
): Promise<void> {
  const binding = presentedBinding(request, cookies.oidc) ?? randomBytes(32).toString('base64url');
  const record: Attempt = { ...attempt, browser: digestOf(binding) };
  await callRedis(() => redis.set(keys.oidc('login', digestOf(state)), JSON.stringify(record), 'PX', LIFETIME_MS));
  cookies.setOidc(reply, binding, LIFETIME_MS);
}

/** Takes an attempt, which then is over; undefined unless it began in this browser, with this provider. */
export async function take(
  request: FastifyRequest,
  { redis, keys, cookies }: Stores,
  state: string,
  provider: string,
): Promise<Attempt | undefined> {
  const stored = await callRedis(() => redis.getdel(keys.oidc('login', digestOf(state))));
  const attempt = stored === null ? undefined : (JSON.parse(stored) as Attempt);
  const binding = presentedBinding(request, cookies.oidc);
  const ours = binding !== undefined && attempt?.browser === digestOf(binding) && attempt.provider === provider;
  return ours ? attempt : undefined;
}

function presentedBinding({ headers }: FastifyRequest, name: string): string | undefined {
  const binding = readCookie(headers.cookie, name);
  return binding !== undefined && BINDING.test(binding) ? binding : undefined;
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
