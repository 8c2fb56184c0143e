import { createHash } from 'node:crypto';
import t from 'tap';
import { ProviderSessions } from '../../src/federation/provider-sessions.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';
import { assertLifetime, timeInRedis } from '../support/redis/expiry.js';

const SESSION_LIFETIME_MS = 3_600_000;
const ISSUER = 'https://id.example';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const providerSessions = new ProviderSessions(client, new RedisKeys('test:'), SESSION_LIFETIME_MS);
const keyOf = (issuer: string, sid: string) =>
  `test:oidc:session:${createHash('sha256')
    .update(JSON.stringify([issuer, sid]))
    .digest('base64url')}`;

t.test('the subject of a provider session is found by issuer and sid together', async (t) => {
  await providerSessions.save({ issuer: ISSUER, sid: 'one' }, 'ada');
  await providerSessions.save({ issuer: ISSUER, sid: 'two' }, 'grace');
  t.equal(await providerSessions.findSubject({ issuer: ISSUER, sid: 'one' }), 'ada');
  t.equal(await providerSessions.findSubject({ issuer: ISSUER, sid: 'two' }), 'grace');
  t.equal(await providerSessions.findSubject({ issuer: ISSUER, sid: 'three' }), undefined);
  t.equal(await providerSessions.findSubject({ issuer: 'https://other.example', sid: 'one' }), undefined);
});

t.test('an issuer and a sid are not confused with a pair that joins to the same text', async (t) => {
  await providerSessions.save({ issuer: `${ISSUER}/a`, sid: 'b' }, 'ada');
  for (const pair of [
    { issuer: ISSUER, sid: '/ab' },
    { issuer: `${ISSUER}/ab`, sid: '' },
    { issuer: `${ISSUER}/`, sid: 'ab' },
  ])
    t.equal(await providerSessions.findSubject(pair), undefined, JSON.stringify(pair));
});

t.test('a later login in the same provider session replaces the subject', async (t) => {
  const session = { issuer: ISSUER, sid: 'shared' };
  await providerSessions.save(session, 'ada');
  await providerSessions.save(session, 'grace');
  t.equal(await providerSessions.findSubject(session), 'grace');
});

t.test('an entry lives a minute longer than a session can, from the latest login on', async (t) => {
  const session = { issuer: ISSUER, sid: 'kept' };
  const key = keyOf(ISSUER, 'kept');
  await providerSessions.save(session, 'ada');
  await client.pexpire(key, 60_000);
  const span = await timeInRedis(client, () => providerSessions.save(session, 'ada'));
  await assertLifetime(t, client, key, SESSION_LIFETIME_MS + 60_000, span);
  await client.pexpire(key, 0);
  t.equal(await providerSessions.findSubject(session), undefined, 'nothing is found after that');
});
