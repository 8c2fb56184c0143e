import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { UserDirectory } from '../../src/identity/directory.js';
import { callRedis } from '../../src/redis/faults.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';

t.test('an outage of Redis becomes an UnavailableError; a defect in a command does not', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const client = redis.client();
  await t.rejects(
    callRedis(() => client.call('NO-SUCH-COMMAND')),
    { name: 'ReplyError' },
  );
  const users = new UserDirectory(client, new RedisKeys('lk:'));
  const nobody = 'x'.repeat(256);
  await t.rejects(users.enable(nobody), { code: 'invalid_subject' });
  await t.rejects(users.disabledSince(nobody), { code: 'invalid_subject' });
  await t.rejects(
    callRedis(() => Promise.reject(new Error('Connection is closed.'))),
    UnavailableError,
  );
  for (const message of [
    'ERR Script attempted to access a non local key in a cluster node script: 0, on @user_script:1.',
    'ERR Script attempted to execute a command while the cluster is down',
    'ERR Script attempted to execute a write command while the cluster is down and readonly',
  ]) {
    await t.rejects(
      callRedis(() => Promise.reject(Object.assign(new Error(message), { name: 'ReplyError' }))),
      UnavailableError,
    );
  }
});
