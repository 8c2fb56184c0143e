import { Type } from '@sinclair/typebox';
import { jwtVerify, type JWTPayload } from 'jose';
import { translatingFaults } from '../../redis/fault.js';
import { Problem } from '../problem.js';
import { providerLoginOf } from '../provider-login.js';
import type { App } from '../route.js';
import { digestOf } from './attempt.js';
import type { OidcServices } from './index.js';
import type { Discovered } from './providers.js';
import { Params } from './start.js';

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const LONGEST_LIFETIME_SECONDS = 10 * 60;
const CLOCK_TOLERANCE_SECONDS = 30;

const Form = Type.Object({ logout_token: Type.String() }, { additionalProperties: Type.Unknown() });
const Ended = Type.Unsafe<undefined>({ type: 'null' });

/** A provider ends the sessions that it began here (OpenID Connect Back-Channel Logout 1.0). */
export function backchannelLogout(app: App, { providers, links, sessions, redis, keys, report }: OidcServices): void {
  app.post(
    '/oidc/:provider/backchannel',
    {
      config: { needs: 'nothing', fails: ['not_found', 'unsupported_media_type', 'payload_too_large'] },
      schema: { summary: 'Back-channel logout', consumes: ['application/x-www-form-urlencoded'], params: Params, body: Form, response: { 200: Ended } },
    },
    async (request, reply) => {
      const discovered = await providers.find(request.params.provider);
      if (!discovered) throw new Problem('not_found');
      const { iss: issuer, sub, sid, jti } = await logoutClaims(discovered, request.body.logout_token);
      const key = keys.oidc('logout', digestOf(JSON.stringify([issuer, jti])));
      const lifetime = (LONGEST_LIFETIME_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000;
      if ((await translatingFaults(() => redis.set(key, '1', 'PX', lifetime, 'NX'))) === null) throw refusal();

      const subject = await links.get({ issuer, sub });
      const living = subject === undefined ? [] : await sessions.list(subject);
      for (const session of living) {
        const began = providerLoginOf(session.data);
        if (began.provider !== discovered.provider.name || (sid !== undefined && began.sid !== sid)) continue;
        const { sessionId } = session;
        await sessions.revoke(session.subject, sessionId, 'revoked');
        report({ event: 'session_end', outcome: 'success', reason: 'revoked', subject: session.subject, sessionId, actor: discovered.provider.name, address: request.ip });
      }
      return reply.send();
    },
  );
}

/** What a logout token says (section 2.6); one without `sub` is refused, since sessions are found by it. */
async function logoutClaims({ provider, keys }: Discovered, token: string): Promise<{ iss: string; sub: string; sid: string | undefined; jti: string }> {
  let payload: JWTPayload;
  try {
    ({ payload } = await jwtVerify(token, keys, {
      issuer: provider.issuer,
      audience: provider.clientId,
      typ: 'logout+jwt',
      requiredClaims: ['iat', 'exp', 'jti', 'events', 'sub'],
      maxTokenAge: LONGEST_LIFETIME_SECONDS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    }));
  } catch (error) {
    throw refusal(error);
  }
  const { iss, sub, sid, jti, events, nonce } = payload;
  const event = (events as Record<string, unknown>)[EVENT];
  if (typeof event !== 'object' || event === null || nonce !== undefined || typeof sub !== 'string' || typeof jti !== 'string') throw refusal();
  if (sid !== undefined && typeof sid !== 'string') throw refusal();
  return { iss: iss!, sub, sid, jti };
}

function refusal(cause?: unknown): Problem {
  return new Problem('invalid_request', { detail: 'The logout token is not valid.', cause });
}
