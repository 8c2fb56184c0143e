import { Type } from '@sinclair/typebox';
import { jwtVerify, type JWTPayload } from 'jose';
import { callRedis } from '../../redis/faults.js';
import { Problem } from '../kit/problem.js';
import { endSessionsBegunAt } from '../flows/provider-login.js';
import type { App } from '../kit/route.js';
import { digestOf } from './attempt.js';
import type { OidcServices } from './services.js';
import type { Discovered } from './providers.js';
import { whose } from './session-there.js';
import { Params } from './start.js';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const LONGEST_LIFETIME_SECONDS = 10 * 60;
const CLOCK_TOLERANCE_SECONDS = 30;
const SEEN_MS = (LONGEST_LIFETIME_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;

const Form = Type.Object({ logout_token: Type.String() }, { additionalProperties: Type.Unknown() });
const Ended = Type.Unsafe<undefined>({ type: 'null' });

/** A provider ends the sessions that it began here (OpenID Connect Back-Channel Logout 1.0). */
export function backchannelLogout(app: App, services: OidcServices): void {
  const { providers, redis, keys } = services;
  app.post(
    '/oidc/:provider/backchannel',
    {
      config: { needs: 'nothing', fails: ['not_found', 'unsupported_media_type', 'payload_too_large'] },
      schema: {
        summary: 'Back-channel logout',
        consumes: ['application/x-www-form-urlencoded'],
        params: Params,
        body: Form,
        response: { 200: Ended },
      },
    },
    async (request, reply) => {
      const discovered = await providers.find(request.params.provider);
      const claims = await logoutClaims(discovered, request.body.logout_token);
      const { sid } = claims;
      const seen = keys.oidc('logout', digestOf(JSON.stringify([claims.issuer, claims.jti])));
      if ((await callRedis(() => redis.get(seen))) !== null) throw refusal();

      const subject = await subjectOf(claims, services);
      const { name } = discovered.provider;
      if (subject !== undefined)
        await endSessionsBegunAt(name, subject, services, { sid, reason: 'revoked', actor: name, address: request.ip });
      // Noted last: a token whose sessions could not all be ended is taken again.
      await callRedis(() => redis.set(seen, '1', 'PX', SEEN_MS));
      return reply.send();
    },
  );
}

interface LogoutClaims {
  readonly issuer: string;
  /** At least one of the two is there. */
  readonly sub: string | undefined;
  readonly sid: string | undefined;
  readonly jti: string;
}

/** Whom a logout token means: by the account, else by the session there. */
function subjectOf({ issuer, sub, sid }: LogoutClaims, services: OidcServices): Promise<string | undefined> {
  return sub === undefined ? whose({ issuer, sid: sid! }, services) : services.links.get({ issuer, sub });
}

/** What a logout token says (sections 2.4 and 2.6). */
async function logoutClaims({ provider, keys }: Discovered, token: string): Promise<LogoutClaims> {
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, keys, {
      issuer: provider.issuer,
      audience: provider.clientId,
      typ: 'logout+jwt',
      requiredClaims: ['iat', 'exp', 'jti', 'events'],
      maxTokenAge: LONGEST_LIFETIME_SECONDS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    }));
  } catch (error) {
    throw refusal(error);
  }
  const { iss, sub, sid, jti, events, nonce } = payload;
  const event = (events as Record<string, unknown>)[EVENT];
  if (typeof event !== 'object' || event === null || nonce !== undefined || typeof jti !== 'string') throw refusal();
  if ((sub ?? sid) === undefined || ![sub, sid].every(isTextIfGiven)) throw refusal();
  return { issuer: iss!, sub, sid: sid as string | undefined, jti };
}

function isTextIfGiven(claim: unknown): boolean {
  return claim === undefined || typeof claim === 'string';
}

function refusal(cause?: unknown): Problem {
  return new Problem('invalid_request', { detail: 'The logout token is not valid.', cause });
}
