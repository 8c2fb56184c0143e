import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { BusyError } from '../../src/identity/password-hasher.js';
import { Throttle, TooManyAttemptsError } from '../../src/identity/throttle.js';
import { DEFAULT_THROTTLE_LIMITS, type ThrottleLimits } from '../../src/options.js';
import { connect } from '../../src/redis/connect.js';
import { RedisKeys } from '../../src/redis/keys.js';
import { findKeysWithoutExpiry, keysUnder } from '../support/audit.js';
import { startCluster, startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';
import { redisTime } from './fixture.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const ADDRESS = '203.0.113.7';

function throttleOn(
  client: Redis | Cluster,
  limits: Partial<ThrottleLimits> = {},
  prefix = `${randomBytes(4).toString('hex')}:`,
) {
  const throttle = new Throttle(client, new RedisKeys(prefix), { ...DEFAULT_THROTTLE_LIMITS, ...limits });
  let verifications = 0;
  const guess = async (username: string, address = ADDRESS, right = false) => {
    try {
      const { verified } = await throttle.guard({ username, address }, async () => {
        verifications++;
        await sleep(2);
        return { verified: right };
      });
      return verified ? 'verified' : 'wrong';
    } catch (error) {
      if (error instanceof TooManyAttemptsError) return 'throttled';
      if (error instanceof BusyError) return 'busy';
      throw error;
    }
  };
  return { throttle, guess, prefix, verifications: () => verifications };
}

async function times<T>(count: number, act: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await act(i));
  return results;
}

t.test('after ten wrong passwords from one network an account is throttled, even for the right one', async (t) => {
  const { throttle, guess, prefix, verifications } = throttleOn(redis.client());
  const before = await redisTime(redis.client());
  t.same(new Set(await times(10, () => guess('zoë'))), new Set(['wrong']));
  const refusal = (await throttle
    .guard({ username: 'zoë', address: ADDRESS }, async () => ({ verified: true }))
    .catch((error: unknown) => error)) as TooManyAttemptsError;
  const tookMs = (await redisTime(redis.client())) - before;
  t.ok(refusal.retryAfterSeconds <= 900, 'at most a quarter of an hour');
  t.ok(refusal.retryAfterSeconds >= Math.ceil(900 - tookMs / 1000), 'for the rest of a quarter of an hour');
  t.equal(await guess('zoë'), 'throttled');
  t.equal(await guess('zoë', ADDRESS, true), 'throttled', 'the right password is refused too');
  t.equal(verifications(), 10);
  t.equal((await keysUnder(redis.client(), prefix)).length, 2, 'a counter of the account and one of the network');
  t.same(await findKeysWithoutExpiry(redis.client(), prefix), [], 'every counter expires');
});

t.test('a throttled account can still log in from another network', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(12, () => guess('zoë'));
  t.equal(await guess('zoë', '198.51.100.1', true), 'verified');
});

t.test('other accounts can still log in from the network of a throttled one', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(12, () => guess('zoë'));
  t.equal(await guess('grace', ADDRESS, true), 'verified');
});

t.test('attempts under any spelling of a username and of an address share one counter', async (t) => {
  const { guess } = throttleOn(redis.client());
  const names = ['zoë', 'ZOË', ' zoë ', 'Zoe\u0308', 'ｚｏë'];
  const addresses = ['2001:db8:0:1::1', '2001:DB8:0:1:2:3:4:5', '2001:0db8::1:0:0:0:9'];
  t.same(new Set(await times(10, (i) => guess(names[i % 5]!, addresses[i % 3]))), new Set(['wrong']));
  for (const name of names) for (const address of addresses) t.equal(await guess(name, address), 'throttled');
});

t.test('names that are invalid as usernames are throttled too, and overlong names share one counter', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(10, (i) => guess(['Šárka Nováková', ' ŠÁRKA NOVÁKOVÁ', 'ｓ\u030cárka nováková'][i % 3]!));
  t.equal(await guess('šárka nováková'), 'throttled');
  t.equal(await guess('grace hopper'), 'wrong');
  await times(10, (i) => guess('x'.repeat(3_000 + i)));
  t.equal(await guess('ÿ'.repeat(3_000)), 'throttled');
  t.equal(await guess('\ufdfa'.repeat(2_000)), 'throttled', 'too long after normalization');
});

t.test('a network is throttled after a hundred failures across any number of accounts', async (t) => {
  const { guess, verifications } = throttleOn(redis.client());
  await times(100, (i) => guess(`user${i}`));
  t.equal(await guess('somebody'), 'throttled');
  t.equal(await guess('somebody', ADDRESS, true), 'throttled');
  t.equal(await guess('somebody', '198.51.100.1', true), 'verified');
  t.equal(verifications(), 101);
});

t.test('successful logins do not count as attempts', async (t) => {
  const { guess, prefix } = throttleOn(redis.client());
  t.same(new Set(await times(150, () => guess('zoë', ADDRESS, true))), new Set(['verified']));
  t.same(await keysUnder(redis.client(), prefix), [], 'successful logins leave no counter');
  await times(9, () => guess('zoë'));
  t.equal(await guess('zoë', ADDRESS, true), 'verified');
  t.equal(await guess('zoë'), 'wrong', 'the tenth failure');
  t.equal(await guess('zoë'), 'throttled', 'a success does not reset the failures');
});

t.test('a verification that throws does not count as an attempt', async (t) => {
  const { throttle, prefix } = throttleOn(redis.client());
  const fault = () => Promise.reject(new UnavailableError('busy'));
  await t.rejects(throttle.guard({ username: 'zoë', address: ADDRESS }, fault), UnavailableError);
  t.same(await keysUnder(redis.client(), prefix), []);
});

t.test('of 500 simultaneous guesses at one account in two processes ten are verified', async (t) => {
  const { guess, verifications, prefix } = throttleOn(redis.client());
  const other = throttleOn(redis.client(), {}, prefix);
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 ? guess('zoë') : other.guess('zoë'))));
  t.equal(verifications() + other.verifications(), 10, 'by both processes together');
  t.equal(answers.filter((answer) => answer === 'throttled').length, 490);
  const counter = await redis.client().get((await keysUnder(redis.client(), `${prefix}throttle:account`))[0]!);
  t.equal(counter, '10', 'refused attempts are not counted');
});

t.test('attempts beyond those in progress for an account are refused without asking Redis', async (t) => {
  const { throttle, guess } = throttleOn(redis.client(), { loginFailuresPerAccount: 3 });
  const ends: (() => void)[] = [];
  const attempt = () =>
    throttle.guard(
      { username: 'zoë', address: ADDRESS },
      () => new Promise<{ verified: boolean }>((resolve) => ends.push(() => resolve({ verified: true }))),
    );
  const untilVerifying = (count: number) => until(`${count} are being verified`, async () => ends.length === count);
  const inProgress = [attempt(), attempt(), attempt()];
  await untilVerifying(3);
  await redis.client().config('RESETSTAT');
  t.equal(await guess('zoë'), 'throttled');
  t.notMatch(
    await redis.client().info('commandstats'),
    /cmdstat_(eval|incr|set)/,
    'the fourth is refused without Redis',
  );
  ends[0]!();
  t.same(await inProgress[0], { verified: true });
  inProgress.push(attempt());
  await untilVerifying(4);
  await t.rejects(attempt(), TooManyAttemptsError, 'only one has ended, so only one may start');
  ends.forEach((end) => end());
  t.same(await Promise.all(inProgress), Array(4).fill({ verified: true }));
  const again = [attempt(), attempt(), attempt()];
  await untilVerifying(7);
  ends.forEach((end) => end());
  t.same(await Promise.all(again), Array(3).fill({ verified: true }), 'three may start again');
});

t.test('of 500 simultaneous guesses at 500 accounts from one network a hundred are verified', async (t) => {
  const { guess, verifications, prefix } = throttleOn(redis.client());
  const other = throttleOn(redis.client(), {}, prefix);
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 ? guess : other.guess)(`user${i}`)));
  t.equal(verifications() + other.verifications(), 100, 'by both processes together');
  t.equal(answers.filter((answer) => answer === 'throttled').length, 400);
});

t.test('one network can have at most half of the verifications in progress in a process', async (t) => {
  const { guess, verifications } = throttleOn(redis.client());
  const from = (address: string) => Array.from({ length: 100 }, (_, i) => guess(`user${i}`, address, true));
  const [one, another, third] = await Promise.all(
    ['203.0.113.7', '2001:db8::1', '198.51.100.1'].map((address) => Promise.all(from(address))),
  );
  const count = (answers: string[] | undefined, word: string) => answers!.filter((answer) => answer === word).length;
  t.same([count(one, 'verified'), count(one, 'throttled')], [64, 36]);
  t.same([count(another, 'verified'), count(another, 'busy')], [64, 36], 'the process is full');
  t.same(new Set(third), new Set(['busy']));
  t.equal(verifications(), 128);
  t.equal(await guess('user1', '198.51.100.1', true), 'verified', 'there is room when they have ended');
  t.same(new Set(await Promise.all(from('203.0.113.7'))), new Set(['verified', 'throttled']));
});

t.test('an attempt that Redis counts after the timeout is uncounted', async (t) => {
  const slow = await startRedis();
  t.teardown(() => slow.stop());
  const client = slow.client({ maxRetriesPerRequest: 0 });
  const { guess, prefix } = throttleOn(client);
  t.equal(await guess('zoë', ADDRESS, true), 'verified');
  slow.pause();
  client.options.commandTimeout = 100;
  const sent: string[] = [];
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, stream) => {
    sent.push(command.name);
    // The first command has timed out, and Redis has not read it yet. From here on, no command times out.
    if (sent.length === 2) {
      delete client.options.commandTimeout;
      slow.resume();
    }
    return send(command, stream);
  };
  await t.rejects(guess('zoë', ADDRESS, true), UnavailableError);
  slow.resume();
  t.same(sent, ['evalsha', 'evalsha'], 'one command counts, one uncounts');
  t.same(await keysUnder(slow.client(), prefix), []);
});

t.test('provider logins are limited for each network and for all networks together', async (t) => {
  const { throttle } = throttleOn(redis.client(), { providerLoginsPerNetwork: 3, providerLogins: 5 });
  await times(3, () => throttle.admitProviderLogin(ADDRESS));
  await t.rejects(throttle.admitProviderLogin(ADDRESS), TooManyAttemptsError);
  await times(2, (i) => throttle.admitProviderLogin(`198.51.100.${i}`));
  await t.rejects(throttle.admitProviderLogin('192.0.2.1'), TooManyAttemptsError);
});

t.test('attempts refused for their account do not count for their network', async (t) => {
  const { guess, prefix } = throttleOn(redis.client());
  await times(60, () => guess('zoë'));
  const client = redis.client();
  t.equal(await client.get((await keysUnder(client, `${prefix}throttle:network`))[0]!), '10');
});

t.test('the window of an account starts with its first failure and is not extended by later ones', async (t) => {
  const client = redis.client();
  const { guess, throttle, prefix } = throttleOn(client, { loginFailureWindowMs: 900_700, loginFailuresPerAccount: 3 });
  const before = await redisTime(client);
  await guess('zoë');
  const after = await redisTime(client);
  const keys = await keysUnder(client, prefix);
  t.equal(keys.length, 2, 'a counter of the account and one of the network');
  const ends = await Promise.all(keys.map((key) => client.pexpiretime(key)));
  for (const end of ends) t.ok(end >= before + 901_000 && end <= after + 901_000, 'rounded up to whole seconds');
  await times(2, () => guess('zoë'));

  const [accountEnd] = ends;
  const mostMs = accountEnd! - (await redisTime(client));
  const refusal = (await throttle
    .guard({ username: 'zoë', address: ADDRESS }, async () => ({ verified: true }))
    .catch((error: unknown) => error)) as TooManyAttemptsError;
  const leastMs = accountEnd! - (await redisTime(client));
  t.match(refusal, { code: 'too_many_requests' });
  t.ok(refusal.retryAfterSeconds <= Math.ceil(mostMs / 1000), 'when the window ends');
  t.ok(refusal.retryAfterSeconds >= Math.ceil(leastMs / 1000), 'and not before');
  t.same(await Promise.all(keys.map((key) => client.pexpiretime(key))), ends);

  for (const key of keys) await client.pexpire(key, 1);
  await until('the windows have ended', async () => (await client.exists(...keys)) === 0);
  t.equal(await guess('zoë', ADDRESS, true), 'verified');
  t.same(await keysUnder(client, prefix), []);
});

t.test('registrations are limited for each network, successful or not', async (t) => {
  const { throttle, prefix } = throttleOn(redis.client(), { registrationsPerNetwork: 3 });
  await times(3, (i) => throttle.admitRegistration(`2001:db8::${i}`));
  await t.rejects(throttle.admitRegistration('2001:db8::99'), TooManyAttemptsError);
  await throttle.admitRegistration('2001:db8:1::1');
  const keys = (await keysUnder(redis.client(), prefix)).map((key) => key.slice(prefix.length));
  t.equal(keys.length, 2, 'one counter for each network');
  for (const key of keys) t.match(key, /^throttle:registration:2001%3Adb8/);
});

t.test('a username with separators cannot form a key of another kind', async (t) => {
  const client = redis.client();
  const { guess, prefix } = throttleOn(client);
  await times(1, () => guess('x:{a}:session:y', 'not:an:address'));
  const keys = (await keysUnder(client, prefix)).map((key) => key.slice(prefix.length));
  t.equal(keys.length, 2);
  t.match(keys[0], /^throttle:account:unknown:[\w-]{43}$/);
  t.equal(keys[1], 'throttle:network:unknown');
});

t.test('a Throttle defines nothing on the client that it is given', async (t) => {
  const client = redis.client();
  const before = Object.keys(client).sort();
  throttleOn(client);
  t.same(Object.keys(client).sort(), before);
  t.notOk('rlflxIncr' in client);
});

t.test('without Redis an attempt throws an UnavailableError and no password is verified', async (t) => {
  const gone = await startRedis();
  const client = connect(
    {
      kind: 'standalone',
      host: gone.host,
      port: gone.port,
      db: 0,
      tls: false,
      username: undefined,
      password: undefined,
    },
    { timeoutMs: 200, name: 'test', onError: () => undefined },
  );
  t.teardown(() => client.disconnect());
  await gone.stop();
  const { guess, verifications } = throttleOn(client);
  await t.rejects(guess('zoë'), UnavailableError);
  t.equal(verifications(), 0);
});

t.test('an error while verifying is reported even if the attempt cannot be uncounted', async (t) => {
  const failing = await startRedis();
  const client = failing.client({ maxRetriesPerRequest: 0, enableOfflineQueue: false });
  await new Promise((resolve) => client.once('ready', resolve));
  const { throttle } = throttleOn(client);
  const fault = async () => {
    await failing.stop();
    throw new UnavailableError('the hasher is busy');
  };
  await t.rejects(throttle.guard({ username: 'zoë', address: ADDRESS }, fault), { message: 'the hasher is busy' });
});

t.test('attempts are limited on a Cluster, where the two counters are in different slots', async (t) => {
  const cluster = await startCluster({ masters: 3 });
  t.teardown(() => cluster.stop());
  const { guess, verifications } = throttleOn(cluster.cluster());
  await Promise.all(Array.from({ length: 50 }, () => guess('zoë')));
  t.equal(verifications(), 10);
});
