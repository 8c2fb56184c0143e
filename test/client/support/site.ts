import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import { latchkey, type LatchkeyOptions } from '../../../src/plugin.js';
import { keysUnder } from '../../support/audit.js';
import { PASSWORD, TOKEN_KEY } from '../../support/credentials.js';
import { startRedis, type TestRedis } from '../../support/redis.js';

const REDIS_TIMEOUT_MS = 3_000;

/** A web app with sessions, and an API that needs one, on its own Redis. */
export interface Site {
  app: FastifyInstance;
  /** The site listens here on every loopback address. */
  port: number;
  redis: TestRedis;
  client: Redis;
  register: () => Promise<{ username: string; password: string; subject: string }>;
  /** Makes every access token expire. */
  expireAccess: () => Promise<void>;
  /** Limits the remaining lifetime of every access token. */
  shortenAccess: (ms: number) => Promise<void>;
  /** Closes every token pair, as if it had been issued and confirmed a minute earlier. */
  closePairs: () => Promise<void>;
  /** Requests for this path are carried out, but the connection is cut instead of answering. */
  losesAnswersTo: string | undefined;
  /** Reads how many token pairs the subject's session has had. */
  generation: (subject: string) => Promise<number>;
  close: () => Promise<void>;
}

export async function startSite(
  options: Partial<LatchkeyOptions> = {},
  prepare: (app: FastifyInstance) => void = () => undefined,
): Promise<Site> {
  const redis = await startRedis();
  const client = redis.client();
  const serving = redis.client({ commandTimeout: REDIS_TIMEOUT_MS, maxRetriesPerRequest: 0 });
  const redisPrefix = 'site:';
  const app = Fastify({ forceCloseConnections: true });
  await app.register(latchkey, {
    redis: serving,
    tokenKeys: [TOKEN_KEY],
    redisPrefix,
    onEvent: () => undefined,
    ...options,
  });

  /** Authenticates by /auth/verify, as a proxy with forward authentication does. */
  const guarded = async (request: FastifyRequest, reply: FastifyReply) => {
    const { cookie = '' } = request.headers;
    const verdict = await app.inject({ url: '/auth/verify', headers: { cookie } });
    if (verdict.statusCode === 200) return;
    const challenge = verdict.headers['www-authenticate'];
    if (challenge !== undefined) reply.header('www-authenticate', challenge);
    return reply.code(verdict.statusCode).type(String(verdict.headers['content-type'])).send(verdict.body);
  };
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.route<{ Body?: Buffer }>({
    method: ['GET', 'POST', 'PUT'],
    url: '/api/echo',
    preHandler: guarded,
    handler: async ({ method, body, headers }) => ({
      method,
      type: headers['content-type'] ?? '',
      body: body?.toString('latin1') ?? '',
    }),
  });
  prepare(app);
  app.server.prependListener('request', (request, response) => {
    if (request.url !== site.losesAnswersTo) return;
    response.end = () => {
      request.socket.destroy();
      return response;
    };
  });
  await app.listen({ port: 0, host: '0.0.0.0' });
  const { port } = app.server.address() as AddressInfo;

  const site: Site = {
    app,
    port,
    redis,
    client,
    losesAnswersTo: undefined,
    async register() {
      const credentials = { username: `user-${randomBytes(6).toString('hex')}`, password: PASSWORD };
      const reply = await app.inject({ method: 'POST', url: '/auth/register', payload: credentials });
      if (reply.statusCode !== 201) throw new Error(`Registering answered ${reply.statusCode} ${reply.body}`);
      return { ...credentials, subject: reply.json<{ subject: string }>().subject };
    },
    async expireAccess() {
      const keys = (await keysUnder(client, redisPrefix)).filter((key) => key.includes(':access:'));
      if (keys.length > 0) await client.del(keys);
    },
    async shortenAccess(ms) {
      const keys = (await keysUnder(client, redisPrefix)).filter((key) => key.includes(':access:'));
      await Promise.all(keys.map((key) => client.pexpire(key, ms, 'LT')));
    },
    async closePairs() {
      for (const key of await keysUnder(client, redisPrefix)) {
        if (!key.includes(':session:')) continue;
        for (const field of ['rotatedAt', 'confirmedAt']) {
          if (await client.hexists(key, field)) await client.hincrby(key, field, -60_000);
        }
      }
    },
    async generation(subject) {
      for (const key of await keysUnder(client, redisPrefix)) {
        if (!key.includes(':session:')) continue;
        const [principal, generation] = await client.hmget(key, 'principal', 'generation');
        if (principal?.includes(`"${subject}"`)) return Number(generation);
      }
      throw new Error(`${subject} has no session`);
    },
    async close() {
      await app.close();
      await redis.stop();
    },
  };
  return site;
}
