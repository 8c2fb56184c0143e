import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import { LoginAttempts } from '../../src/federation/login-attempts.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { startRedis } from '../support/redis.js';
import { assertLifetime, timeInRedis } from '../support/redis/expiry.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const client = redis.client();
const attempts = new LoginAttempts(client, new RedisKeys('test:'));

const ATTEMPT = {
  provider: 'corp',
  verifier: 'v'.repeat(43),
  nonce: 'n'.repeat(43),
  redirectUri: 'https://app.example/auth/oidc/corp/callback',
  to: '/reports',
};
const secret = () => randomBytes(32).toString('base64url');
const keyOf = (state: string) => `test:oidc:login:${createHash('sha256').update(state).digest('base64url')}`;

/** Begins an attempt in a new browser. */
async function begin(attempt = ATTEMPT) {
  const [state, binding] = [secret(), secret()];
  await attempts.begin(state, binding, attempt);
  return { state, binding };
}

t.test('an attempt is taken as it began, by its browser and for its provider', async (t) => {
  const link = { subject: 'ada', begunAt: 1_700_000_000_000 };
  for (const attempt of [ATTEMPT, { ...ATTEMPT, link }]) {
    const { state, binding } = await begin(attempt);
    t.strictSame(await attempts.consume(state, { binding, provider: 'corp' }), attempt);
  }
});

t.test('an attempt can be taken once, even by concurrent callbacks', async (t) => {
  const { state, binding } = await begin();
  const taken = await Promise.all(
    Array.from({ length: 10 }, () => attempts.consume(state, { binding, provider: 'corp' })),
  );
  t.strictSame(
    taken.filter((attempt) => attempt !== undefined),
    [ATTEMPT],
  );
  t.equal(await attempts.consume(state, { binding, provider: 'corp' }), undefined);
  t.equal(await client.exists(keyOf(state)), 0);
});

t.test('an attempt is not returned to another browser or for another provider, and is deleted', async (t) => {
  for (const other of [
    { binding: secret() },
    { binding: '' },
    { binding: undefined },
    { provider: 'other' },
    { provider: 'Corp' },
  ]) {
    const { state, binding } = await begin();
    t.equal(
      await attempts.consume(state, { binding, provider: 'corp', ...other }),
      undefined,
      `refused: ${JSON.stringify(other)}`,
    );
    t.equal(
      await attempts.consume(state, { binding, provider: 'corp' }),
      undefined,
      'the right browser comes too late',
    );
  }
});

t.test('the attempts of one browser do not disturb each other', async (t) => {
  const binding = secret();
  const [first, second] = [secret(), secret()];
  await attempts.begin(first, binding, { ...ATTEMPT, to: '/first' });
  await attempts.begin(second, binding, { ...ATTEMPT, to: '/second' });
  t.equal((await attempts.consume(second, { binding, provider: 'corp' }))?.to, '/second');
  t.equal((await attempts.consume(first, { binding, provider: 'corp' }))?.to, '/first');
});

t.test('an attempt is kept for ten minutes, without its state and the secret of its browser', async (t) => {
  const { result, ...span } = await timeInRedis(client, () => begin());
  const key = keyOf(result.state);
  await assertLifetime(t, client, key, 600_000, span);
  const record = (await client.get(key))!;
  t.match(record, ATTEMPT.nonce);
  for (const value of [result.state, result.binding]) t.notMatch(record, value);
  await client.pexpire(key, 0);
  t.equal(await attempts.consume(result.state, { binding: result.binding, provider: 'corp' }), undefined);
});

t.test('beginning and taking an attempt throw UnavailableError while Redis is gone', async (t) => {
  const away = await startRedis();
  const orphaned = new LoginAttempts(away.client({ maxRetriesPerRequest: 0 }), new RedisKeys('test:'));
  await away.stop();
  await t.rejects(orphaned.begin(secret(), secret(), ATTEMPT), { code: 'unavailable' });
  await t.rejects(orphaned.consume(secret(), { binding: secret(), provider: 'corp' }), { code: 'unavailable' });
});
