import t from 'tap';
import { startRedis } from '../support/redis.js';
import { newSubject, pairOf, storeOn } from './fixture.js';
import { testSessionStore } from './store/suite.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

testSessionStore(t, client);

t.test('every operation works after Redis has lost its script cache', async (t) => {
  const s = storeOn(client);
  const flush = () => client.script('FLUSH');
  await flush();
  const { pair, principal } = await s.login();
  await flush();
  const { pair: next, outcome } = pairOf(await s.rotate(pair.refresh));
  t.equal(outcome, 'rotated');
  await flush();
  await s.use(next);
  t.ok((await s.stored(next.refresh)).confirmedAt);
  await flush();
  t.equal((await s.store.list(principal.subject)).length, 1);
  await flush();
  t.equal(await s.store.revoke(principal.subject, next.refresh.sessionId, 'revoked'), true);
  await flush();
  t.same(await s.store.revokeAll(principal.subject, { reason: 'revoked' }), []);
  t.same(s.faults, []);
});

t.test('one login evicts thousands of sessions after the limit was lowered', async (t) => {
  const s = storeOn(client, { sessionsPerUser: 100_000 });
  const subject = newSubject();
  await Promise.all(Array.from({ length: 9_000 }, () => s.login(subject)));
  const { evicted } = await storeOn(client, { prefix: s.prefix, sessionsPerUser: 5 }).login(subject);
  t.equal(evicted.length, 8_996);
  t.equal((await s.store.list(subject)).length, 5);
});
