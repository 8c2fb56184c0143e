import { fileURLToPath } from 'node:url';
import { startEmbeddedRedis } from '../../../src/redis/embedded/embedded-redis.js';

const redis = await startEmbeddedRedis({
  dataDirectory: process.argv[2] as string,
  configFile: fileURLToPath(new URL('../../../redis.conf', import.meta.url)),
  log: () => undefined,
});
process.stdout.write(redis.socketPath);
