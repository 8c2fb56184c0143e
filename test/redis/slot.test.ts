import fc from 'fast-check';
import t from 'tap';
import { slotOf } from '../../src/redis/slot.js';
import { startRedis } from '../support/redis.js';

t.test('computes the same slot as Redis for every key', async () => {
  const redis = await startRedis({ args: ['--appendonly', 'no', '--cluster-enabled', 'yes'] });
  t.teardown(() => redis.stop());
  const client = redis.client();
  const keys = fc.oneof(
    fc.stringMatching(/^[0-9a-f]{4}$/).map((partition) => `lk:{${partition}}:access:x`),
    fc.string({ unit: 'grapheme' }),
    fc.array(fc.constantFrom('{', '}', 'a', ':', 'é'), { maxLength: 8 }).map((parts) => parts.join('')),
  );
  await fc.assert(
    fc.asyncProperty(keys, async (key) => slotOf(key) === (await client.cluster('KEYSLOT', key))),
    { numRuns: 2_000 },
  );
});
