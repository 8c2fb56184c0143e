export { startCluster, type TestCluster } from './redis/cluster.js';
export { startSentinel, type TestSentinel } from './redis/sentinel.js';
export { startRedis, type StartOptions, type TestRedis } from './redis/server.js';
