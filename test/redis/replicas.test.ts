import { Cluster } from 'ioredis';
import t from 'tap';
import { waitForReplicas } from '../../src/redis/replicas.js';

t.test('acknowledges nothing when the Cluster node of the key is not known', async (t) => {
  const unconnected = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true });
  const waiting = waitForReplicas(unconnected, 'lk:{a3f0}:mark', { replicas: 1, timeoutMs: 10 });
  await t.rejects(waiting, { code: 'unavailable' });
});
