import { Cluster } from 'ioredis';
import t from 'tap';
import { waitForReplicas } from '../../src/redis/replicas.js';

t.test('where nobody is known to own the key, nothing is acknowledged', async (t) => {
  const unconnected = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true });
  const waiting = waitForReplicas(unconnected, 'lk:{a3f0}:mark', { replicas: 1, timeoutMs: 10 });
  await t.rejects(waiting, { code: 'unavailable' });
});
