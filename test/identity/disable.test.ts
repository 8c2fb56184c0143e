import t from 'tap';
import { PasswordHasher } from '../../src/identity/hasher.js';
import { Users } from '../../src/identity/users.js';
import { StaleCredentialError } from '../../src/sessions/errors.js';
import { newSubject, storeOn } from '../sessions/fixture.js';
import { startRedis } from '../support/redis.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();
const password = 'correct horse battery staple';

function fresh() {
  const s = storeOn(client);
  return { ...s, users: new Users(client, s.keys, new PasswordHasher()) };
}

t.test('a disabled user is known, cannot log in, and can again when enabled', async (t) => {
  const { users } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  t.equal(await users.disabledSince(subject), undefined);
  const at = await users.disable(subject);
  t.ok(Math.abs(at - Date.now()) < 5_000);
  t.equal(await users.disable(subject), at, 'since the first time');
  t.equal(await users.disabledSince(subject), at);
  t.match(await users.get(subject), { username: 'ada', disabledAt: at });
  t.equal(await users.verify({ username: 'ada', password }), undefined);
  await users.enable(subject);
  t.equal(await users.disabledSince(subject), undefined);
  t.match(await users.verify({ username: 'ada', password }), { subject });
});

t.test('in a Redis that is out of memory too', async (t) => {
  const { users } = fresh();
  await client.config('SET', 'maxmemory', 1);
  t.teardown(() => client.config('SET', 'maxmemory', 0));
  const at = await users.disable('host-7');
  t.equal(await users.disabledSince('host-7'), at);
});

t.test('a login that was verified before begins no session after', async (t) => {
  const { users, store, all } = fresh();
  const { subject } = await users.register({ username: 'ada', password });
  const verified = (await users.verify({ username: 'ada', password }))!;
  await users.disable(subject);
  const issuing = store.issue({
    identity: { subject, methods: ['pwd'] },
    credential: verified.credential,
    origin: { device: '', address: '' },
  });
  await t.rejects(issuing, StaleCredentialError);
  t.notOk((await all()).some((key) => key.includes(':session')));
});

t.test('200 logins that race a disabling leave no session behind', async (t) => {
  const { users, store, login } = fresh();
  for (let round = 0; round < 10; round++) {
    const subject = newSubject();
    const logins = Promise.allSettled(Array.from({ length: 20 }, () => login(subject)));
    await users.disable(subject);
    await store.revokeAll(subject, { reason: 'revoked' });
    for (const result of await logins) {
      if (result.status === 'rejected') t.ok(result.reason instanceof StaleCredentialError);
      else t.equal(await store.authenticate(result.value.pair.access.token), undefined);
    }
    t.same(await store.list(subject), []);
  }
});

t.test('a subject without a record here is disabled too, and nothing of it is left when it is enabled', async (t) => {
  const { users, login, all } = fresh();
  const subject = newSubject();
  await users.disable(subject);
  await t.rejects(login(subject), StaleCredentialError);
  t.equal(await users.get(subject), undefined, 'it is no user of ours');
  await users.enable(subject);
  t.same(await all(), []);
  await t.resolves(login(subject));
});
