import { Type } from '@sinclair/typebox';
import type { FastifyRequest } from 'fastify';
import type { IssuedTokens } from '../../sessions/session.js';
import { StaleCredentialError } from '../../sessions/store.js';
import { challenge, presentedAccessToken, presentedRefreshToken } from '../credentials.js';
import { originOf } from '../device.js';
import { Problem } from '../problem.js';
import { reportingRefusal } from '../report.js';
import type { App } from '../route.js';
import type { Services, Verified } from '../services.js';
import { abortedWith } from '../signal.js';
import { handOver, TokensBody } from '../tokens.js';

const Body = Type.Object(
  {
    username: Type.String(),
    password: Type.String(),
    transport: Type.Optional(Type.Union([Type.Literal('cookie'), Type.Literal('bearer')], { default: 'cookie' })),
  },
  { additionalProperties: false },
);

export function login(app: App, services: Services): void {
  const { verifyCredentials, throttle, cookies, report } = services;

  app.post('/login', { config: { needs: 'nothing' }, schema: { body: Body, response: { 200: TokensBody } } }, async (request, reply) => {
    const { transport = 'cookie', ...credentials } = request.body;
    const address = request.ip;
    const signal = abortedWith(reply);
    const tokens = await reportingRefusal(services, { event: 'login', address }, () =>
      verifiedAnew(async () => {
        const user = await throttle.guard({ username: credentials.username, address }, () => verifyCredentials({ ...credentials, signal }));
        if (!user) throw new Problem('invalid_credentials', { headers: challenge() });
        return issueTo(user, request, services);
      }),
    );
    const { subject, sessionId } = tokens.principal;
    report({ event: 'login', outcome: 'success', subject, sessionId, address });
    return handOver(reply, cookies, tokens, { transport });
  });
}

/** Once more if the stored hash changed meanwhile: to that of another password, or of the same one hashed anew. */
async function verifiedAnew<T>(logIn: () => Promise<T>): Promise<T> {
  try {
    return await logIn();
  } catch (error) {
    if (error instanceof StaleCredentialError) return logIn();
    throw error;
  }
}

async function issueTo(verified: Verified, request: FastifyRequest, services: Services): Promise<IssuedTokens> {
  const { subject, username, methods = ['pwd'], credential } = verified;
  const supersedes = await livingSession(subject, request, services);
  return services.sessions.issue({
    identity: { subject, ...(username !== undefined && { username }), methods },
    ...(credential !== undefined && { credential }),
    origin: originOf(request),
    ...(supersedes !== undefined && { supersedes }),
  });
}

/** The session that this browser or client has now; the script that ends it checks that it is of the same subject. */
async function livingSession(subject: string, request: FastifyRequest, { sessions, cookies }: Services) {
  const refresh = presentedRefreshToken(request, cookies);
  if (refresh) return sessions.parseRefreshToken(refresh.token)?.sessionId;
  const access = presentedAccessToken(request, cookies);
  const principal = access && (await sessions.authenticate(access.token));
  return principal?.subject === subject ? principal.sessionId : undefined;
}
