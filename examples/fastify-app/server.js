import { Redis } from 'ioredis';
import { buildApp } from './app.js';

const { REDIS_URL, TOKEN_KEY, PORT = '8080' } = process.env;

const app = await buildApp(REDIS_URL ? { redis: new Redis(REDIS_URL), tokenKeys: [TOKEN_KEY] } : await privateRedis());
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close().then(() => process.exit()));
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
console.log(`Notes at http://localhost:${app.server.address().port}`);

/** For a try without a Redis: a private one that ends with this process. */
async function privateRedis() {
  const { startTestSessions } = await import('latchkey/testing');
  return (await startTestSessions()).options;
}
