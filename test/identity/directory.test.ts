import t from 'tap';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import { newSubject, storeOn } from '../sessions/fixture.js';
import { startRedis } from '../support/redis.js';
import { matched, PASSWORD, usersOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();
const password = PASSWORD;

function fresh() {
  const store = storeOn(client);
  return { ...store, ...usersOn(client, { prefix: store.prefix }) };
}

t.test('a disabled user is known, cannot log in, and can again when enabled', async (t) => {
  const { directory, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  t.equal(await directory.disabledSince(subject), undefined);
  const at = await directory.disable(subject);
  t.ok(Math.abs(at - Date.now()) < 5_000);
  t.equal(await directory.disable(subject), at, 'since the first time');
  t.equal(await directory.disabledSince(subject), at);
  t.match(await directory.get(subject), { username: 'ada', disabledAt: at });
  t.strictSame(await passwords.verify({ username: 'ada', password }), { verified: false, subject });
  await directory.enable(subject);
  t.equal(await directory.disabledSince(subject), undefined);
  t.match(await passwords.verify({ username: 'ada', password }), { verified: true, subject });
});

t.test('in a Redis that is out of memory too', async (t) => {
  const { directory } = fresh();
  await client.config('SET', 'maxmemory', 1);
  t.teardown(() => client.config('SET', 'maxmemory', 0));
  const at = await directory.disable('host-7');
  t.equal(await directory.disabledSince('host-7'), at);
});

t.test('a login that was verified before begins no session after', async (t) => {
  const { directory, registration, passwords, store, all } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  const verified = await matched(passwords.verify({ username: 'ada', password }));
  await directory.disable(subject);
  const issuing = store.issue({
    identity: { subject, methods: ['pwd'] },
    credential: verified.credential,
    origin: { device: '', address: '' },
  });
  await t.rejects(issuing, StaleCredentialError);
  t.notOk((await all()).some((key) => key.includes(':session')));
});

t.test('200 logins that race a disabling leave no session behind', async (t) => {
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

t.test('a subject without a record here is disabled too, and nothing of it is left when it is enabled', async (t) => {
  const { directory, login, all } = fresh();
  const subject = newSubject();
  await directory.disable(subject);
  await t.rejects(login(subject), StaleCredentialError);
  t.equal(await directory.get(subject), undefined, 'it is no user of ours');
  await directory.enable(subject);
  t.same(await all(), []);
  await t.resolves(login(subject));
});

t.test('a disabled user is told apart only by those who may know', async (t) => {
  const { keys, directory, registration, passwords } = fresh();
  const { subject } = await registration.register({ username: 'ada', password });
  await client.hset(keys.user(subject), 'disabledAt', 1_700_000_000_000);
  t.match(await directory.get(subject), { subject, username: 'ada', disabledAt: 1_700_000_000_000 });
  t.strictSame(await passwords.verifySubject(subject, password), { verified: false, subject });
  t.equal(await directory.get('nobody'), undefined);
});
