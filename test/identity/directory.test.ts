import t from 'tap';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import { newSubject, storeOn } from '../sessions/fixture.js';
import { PASSWORD } from '../support/credentials.js';
import { startRedis } from '../support/redis.js';
import { matched, redisTime, usersOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();
const password = PASSWORD;

function fresh() {
  const store = storeOn(client);
  return { ...store, ...usersOn(client, { prefix: store.prefix }) };
}

t.test('a disabled user is still found but cannot log in until enabled again', async (t) => {
  const { directory, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  t.equal(await directory.disabledSince(subject), undefined);
  const before = await redisTime(client);
  const at = await directory.disable(subject);
  t.ok(at >= before && at <= (await redisTime(client)), 'by the clock of Redis');
  t.equal(await directory.disable(subject), at, 'disabling again keeps the first time');
  t.equal(await directory.disabledSince(subject), at);
  t.match(await directory.get(subject), { username: 'zoë', disabledAt: at });
  t.strictSame(await passwords.verify({ username: 'zoë', password }), { verified: false, subject });
  await directory.enable(subject);
  t.equal(await directory.disabledSince(subject), undefined);
  t.match(await passwords.verify({ username: 'zoë', password }), { verified: true, subject });
});

t.test('a subject can be disabled while Redis is out of memory', async (t) => {
  const { directory } = fresh();
  await client.config('SET', 'maxmemory', 1);
  t.teardown(() => client.config('SET', 'maxmemory', 0));
  const at = await directory.disable('host-7');
  t.equal(await directory.disabledSince('host-7'), at);
});

t.test('a login that was verified before its user was disabled starts no session afterwards', async (t) => {
  const { directory, registration, passwords, store, all } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  const verified = await matched(passwords.verify({ username: 'zoë', password }));
  await directory.disable(subject);
  const issuing = store.issue({
    identity: { subject, methods: ['pwd'] },
    credential: verified.credential,
    origin: { device: '', address: '' },
  });
  await t.rejects(issuing, StaleCredentialError);
  t.notOk((await all()).some((key) => key.includes(':session')));
});

t.test('200 logins that race with disabling their subject leave no session behind', async (t) => {
  const { directory, store, login } = fresh();
  for (let round = 0; round < 10; round++) {
    const subject = newSubject();
    const logins = Promise.allSettled(Array.from({ length: 20 }, () => login(subject)));
    await directory.disable(subject);
    await store.revokeAll(subject, { reason: 'revoked' });
    for (const result of await logins) {
      if (result.status === 'rejected') t.ok(result.reason instanceof StaleCredentialError);
      else t.equal(await store.authenticate(result.value.pair.access.token), undefined);
    }
    t.same(await store.list(subject), []);
  }
});

t.test('a subject without a user record can be disabled, and enabling it leaves no key behind', async (t) => {
  const { directory, login, all } = fresh();
  const subject = newSubject();
  await directory.disable(subject);
  await t.rejects(login(subject), StaleCredentialError);
  t.equal(await directory.get(subject), undefined, 'no registered user');
  await directory.enable(subject);
  t.same(await all(), []);
  await t.resolves(login(subject));
});

t.test('the directory says that a user is disabled, but a failed verification does not', async (t) => {
  const { keys, directory, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'zoë', password });
  await client.hset(keys.user(subject), 'disabledAt', 1_694_871_203_457);
  t.match(await directory.get(subject), { subject, username: 'zoë', disabledAt: 1_694_871_203_457 });
  t.strictSame(await passwords.verifySubject(subject, password), { verified: false, subject });
  t.equal(await directory.get('nobody'), undefined);
});
