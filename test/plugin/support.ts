import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Cluster, Redis } from 'ioredis';
import type { Test } from 'tap';
import latchkey, { type LatchkeyOptions } from '../../src/index.js';
import { TOKEN_KEY } from '../support/credentials.js';

export const ORIGIN = { device: 'a test', address: '192.0.2.1' };

/** A host's app with a route for each requirement, on a prefix of its own in Redis. */
export async function hostApp(
  t: Test,
  redis: Redis | Cluster,
  options: Partial<LatchkeyOptions> = {},
): Promise<FastifyInstance> {
  const app = Fastify();
  t.teardown(() => app.close());
  await app.register(latchkey, {
    redis,
    tokenKeys: [TOKEN_KEY],
    redisPrefix: `${randomBytes(4).toString('hex')}:`,
    ...options,
  } as LatchkeyOptions);
  app.get('/open', () => ({ open: true }));
  app.get('/me', { onRequest: app.latchkey.requireSession() }, (request) => request.principal);
  app.post('/me', { onRequest: app.latchkey.requireSession() }, (request) => request.principal);
  app.get('/write', { onRequest: app.latchkey.requireSession({ scopes: ['orders:read', 'orders:write'] }) }, () => ({
    written: true,
  }));
  app.get('/recent', { onRequest: app.latchkey.requireSession({ recentMs: 60_000 }) }, () => ({ recent: true }));
  return app;
}

/** A path for a Unix socket. It is short, because the system truncates paths of more than about 100 bytes. */
export async function createSocketPath(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-socket-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 's');
}
