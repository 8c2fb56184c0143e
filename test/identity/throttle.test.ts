import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { Throttle, TooManyAttemptsError } from '../../src/identity/throttle.js';
import { DEFAULT_THROTTLE_LIMITS, type ThrottleLimits } from '../../src/options.js';
import { BusyError } from '../../src/identity/password-hasher.js';
import { Keys } from '../../src/redis/keys.js';
import { connect } from '../../src/redis/connect.js';
import { until } from '../support/redis/waiting.js';
import { startCluster, startRedis } from '../support/redis.js';
import { keysUnder, findKeysWithoutExpiry } from '../support/audit.js';

const redis = await startRedis();
t.teardown(() => redis.stop());
const ADDRESS = '203.0.113.7';

function throttleOn(
  client: Redis | Cluster,
  limits: Partial<ThrottleLimits> = {},
  prefix = `${randomBytes(4).toString('hex')}:`,
) {
  const throttle = new Throttle(client, new Keys(prefix), { ...DEFAULT_THROTTLE_LIMITS, ...limits });
  let looked = 0;
  const guess = async (username: string, address = ADDRESS, right = false) => {
    try {
      const { verified } = await throttle.guard({ username, address }, async () => {
        looked++;
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
  return { throttle, guess, prefix, looked: () => looked };
}

async function times<T>(count: number, act: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await act(i));
  return results;
}

t.test('ten wrong passwords for an account from one network, and no more', async (t) => {
  const { throttle, guess, prefix, looked } = throttleOn(redis.client());
  t.same(new Set(await times(10, () => guess('ada'))), new Set(['wrong']));
  const refusal = (await throttle
    .guard({ username: 'ada', address: ADDRESS }, async () => ({ verified: true }))
    .catch((error: unknown) => error)) as TooManyAttemptsError;
  t.ok(
    refusal.retryAfterSeconds > 890 && refusal.retryAfterSeconds <= 900,
    `for a quarter of an hour: ${refusal.retryAfterSeconds} s`,
  );
  t.equal(await guess('ada'), 'throttled');
  t.equal(await guess('ada', ADDRESS, true), 'throttled', 'the right one too');
  t.equal(looked(), 10);
  t.same(await findKeysWithoutExpiry(redis.client(), prefix), [], 'every counter expires');
});

t.test('the owner still gets in from another network', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(12, () => guess('ada'));
  t.equal(await guess('ada', '198.51.100.1', true), 'verified');
});

t.test('others still get in from the same network', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(12, () => guess('ada'));
  t.equal(await guess('grace', ADDRESS, true), 'verified');
});

t.test('every spelling of a name and of an address counts for one', async (t) => {
  const { guess } = throttleOn(redis.client());
  const names = ['ada', 'ADA', ' ada ', 'Ada', 'ａｄａ'];
  const addresses = ['2001:db8:0:1::1', '2001:DB8:0:1:2:3:4:5', '2001:0db8::1:0:0:0:9'];
  t.same(new Set(await times(10, (i) => guess(names[i % 5]!, addresses[i % 3]))), new Set(['wrong']));
  for (const name of names) for (const address of addresses) t.equal(await guess(name, address), 'throttled');
});

t.test('a name that only a host’s own users can have is one too, and all that are too long together', async (t) => {
  const { guess } = throttleOn(redis.client());
  await times(10, (i) => guess(['Ada Lovelace', ' ADA LOVELACE', 'ａｄａ lovelace'][i % 3]!));
  t.equal(await guess('ada lovelace'), 'throttled');
  t.equal(await guess('grace hopper'), 'wrong');
  await times(10, (i) => guess('x'.repeat(3_000 + i)));
  t.equal(await guess('y'.repeat(3_000)), 'throttled');
  t.equal(await guess('\ufdfa'.repeat(2_000)), 'throttled', 'in the form that counts');
});

t.test('a network is throttled after a hundred failures over any number of accounts', async (t) => {
  const { guess, looked } = throttleOn(redis.client());
  await times(100, (i) => guess(`user${i}`));
  t.equal(await guess('somebody'), 'throttled');
  t.equal(await guess('somebody', ADDRESS, true), 'throttled');
  t.equal(await guess('somebody', '198.51.100.1', true), 'verified');
  t.equal(looked(), 101);
});

t.test('only failures count', async (t) => {
  const { guess, prefix } = throttleOn(redis.client());
  t.same(new Set(await times(150, () => guess('ada', ADDRESS, true))), new Set(['verified']));
  t.same(await keysUnder(redis.client(), prefix), [], 'nothing is left of what did not fail');
  await times(9, () => guess('ada'));
  t.equal(await guess('ada', ADDRESS, true), 'verified');
  t.equal(await guess('ada'), 'wrong', 'the tenth failure');
  t.equal(await guess('ada'), 'throttled', 'a success forgives none of the failures');
});

t.test('a fault counts for nothing', async (t) => {
  const { throttle, prefix } = throttleOn(redis.client());
  const fault = () => Promise.reject(new UnavailableError('busy'));
  await t.rejects(throttle.guard({ username: 'ada', address: ADDRESS }, fault), UnavailableError);
  t.same(await keysUnder(redis.client(), prefix), []);
});

t.test('of 500 guesses at once, no more than ten are looked at', async (t) => {
  const { guess, looked, prefix } = throttleOn(redis.client());
  const other = throttleOn(redis.client(), {}, prefix);
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 ? guess('ada') : other.guess('ada'))));
  t.equal(looked() + other.looked(), 10, 'by two processes together');
  t.equal(answers.filter((answer) => answer === 'throttled').length, 490);
  const counter = await redis.client().get((await keysUnder(redis.client(), `${prefix}throttle:account`))[0]!);
  t.equal(counter, '10', 'what was refused is not counted');
});

t.test(
  'what a process has under way for an account is counted without Redis, and forgotten when it ends',
  async (t) => {
    const { throttle, guess } = throttleOn(redis.client(), { loginFailuresPerAccount: 3 });
    const ends: (() => void)[] = [];
    const attempt = () =>
      throttle.guard(
        { username: 'ada', address: ADDRESS },
        () => new Promise<{ verified: boolean }>((resolve) => ends.push(() => resolve({ verified: true }))),
      );
    const lookedAt = (count: number) => until(`${count} are looked at`, async () => ends.length === count);
    const underWay = [attempt(), attempt(), attempt()];
    await lookedAt(3);
    await redis.client().config('RESETSTAT');
    t.equal(await guess('ada'), 'throttled');
    t.notMatch(
      await redis.client().info('commandstats'),
      /cmdstat_(eval|incr|set)/,
      'the fourth is refused without Redis',
    );
    ends[0]!();
    t.same(await underWay[0], { verified: true });
    underWay.push(attempt());
    await lookedAt(4);
    await t.rejects(attempt(), TooManyAttemptsError, 'one has ended, and one may begin');
    ends.forEach((end) => end());
    t.same(await Promise.all(underWay), Array(4).fill({ verified: true }));
    const again = [attempt(), attempt(), attempt()];
    await lookedAt(7);
    ends.forEach((end) => end());
    t.same(await Promise.all(again), Array(3).fill({ verified: true }), 'then three again');
  },
);

t.test('of 500 accounts tried at once, no more than a hundred are looked at', async (t) => {
  const { guess, looked, prefix } = throttleOn(redis.client());
  const other = throttleOn(redis.client(), {}, prefix);
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 ? guess : other.guess)(`user${i}`)));
  t.equal(looked() + other.looked(), 100, 'by two processes together');
  t.equal(answers.filter((answer) => answer === 'throttled').length, 400);
});

t.test('one network takes half of what a process looks at together, with right passwords too', async (t) => {
  const { guess, looked } = throttleOn(redis.client());
  const from = (address: string) => Array.from({ length: 100 }, (_, i) => guess(`user${i}`, address, true));
  const [one, another, third] = await Promise.all(
    ['203.0.113.7', '2001:db8::1', '198.51.100.1'].map((address) => Promise.all(from(address))),
  );
  const count = (answers: string[] | undefined, word: string) => answers!.filter((answer) => answer === word).length;
  t.same([count(one, 'verified'), count(one, 'throttled')], [64, 36]);
  t.same([count(another, 'verified'), count(another, 'busy')], [64, 36], 'the process can take no more');
  t.same(new Set(third), new Set(['busy']));
  t.equal(looked(), 128);
  t.equal(await guess('user1', '198.51.100.1', true), 'verified', 'and when they have ended, the next');
  t.same(new Set(await Promise.all(from('203.0.113.7'))), new Set(['verified', 'throttled']));
});

t.test('what Redis counts too late counts for nothing', async (t) => {
  const slow = await startRedis();
  t.teardown(() => slow.stop());
  const client = slow.client({ commandTimeout: 300, maxRetriesPerRequest: 0 });
  const { guess, prefix } = throttleOn(client);
  t.equal(await guess('ada', ADDRESS, true), 'verified');
  slow.pause();
  const guessing = t.rejects(guess('ada', ADDRESS, true));
  // The attempt is given up after 300 ms; it is taken back by a command that waits as long.
  await sleep(450);
  slow.resume();
  await guessing;
  await until('nothing is left of it', async () => (await keysUnder(slow.client(), prefix)).length === 0);
});

t.test('logins with a provider that are begun are bounded for a network, and for all together', async (t) => {
  const { throttle } = throttleOn(redis.client(), { providerLoginsPerNetwork: 3, providerLogins: 5 });
  await times(3, () => throttle.admitProviderLogin(ADDRESS));
  await t.rejects(throttle.admitProviderLogin(ADDRESS), TooManyAttemptsError);
  await times(2, (i) => throttle.admitProviderLogin(`198.51.100.${i}`));
  await t.rejects(throttle.admitProviderLogin('192.0.2.1'), TooManyAttemptsError);
});

t.test('an attempt that the account refuses is not held against the network', async (t) => {
  const { guess, prefix } = throttleOn(redis.client());
  await times(60, () => guess('ada'));
  const client = redis.client();
  t.equal(await client.get((await keysUnder(client, `${prefix}throttle:network`))[0]!), '10');
});

t.test('the window ends, and does not move with further attempts', async (t) => {
  const { guess, throttle, prefix } = throttleOn(redis.client(), {
    loginFailureWindowMs: 1000,
    loginFailuresPerAccount: 2,
  });
  await times(2, () => guess('ada'));
  const refusal = await throttle
    .guard({ username: 'ada', address: ADDRESS }, async () => ({ verified: true }))
    .catch((error: unknown) => error);
  t.match(refusal, { code: 'too_many_requests', retryAfterSeconds: 1 });
  await sleep(600);
  t.equal(await guess('ada'), 'throttled');
  await sleep(500);
  t.equal(await guess('ada', ADDRESS, true), 'verified');
  t.same(await keysUnder(redis.client(), prefix), []);
});

t.test('attempts to register are counted for the network, whatever comes of them', async (t) => {
  const { throttle, prefix } = throttleOn(redis.client(), { registrationsPerNetwork: 3 });
  await times(3, (i) => throttle.admitRegistration(`2001:db8::${i}`));
  await t.rejects(throttle.admitRegistration('2001:db8::99'), TooManyAttemptsError);
  await throttle.admitRegistration('2001:db8:1::1');
  const keys = (await keysUnder(redis.client(), prefix)).map((key) => key.slice(prefix.length));
  t.equal(keys.length, 2, 'one counter for each network');
  for (const key of keys) t.match(key, /^throttle:registration:2001%3Adb8/);
});

t.test('a name with separators makes no key of another kind', async (t) => {
  const client = redis.client();
  const { guess, prefix } = throttleOn(client);
  await times(1, () => guess('x:{a}:session:y', 'not:an:address'));
  const keys = (await keysUnder(client, prefix)).map((key) => key.slice(prefix.length));
  t.equal(keys.length, 2);
  t.match(keys[0], /^throttle:account:unknown:[\w-]{43}$/);
  t.equal(keys[1], 'throttle:network:unknown');
});

t.test('nothing is defined on the client that is handed in', async (t) => {
  const client = redis.client();
  const before = Object.keys(client).sort();
  throttleOn(client);
  t.same(Object.keys(client).sort(), before);
  t.notOk('rlflxIncr' in client);
});

t.test('without Redis an attempt is a fault and nothing is looked at', async (t) => {
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
  const { guess, looked } = throttleOn(client);
  await t.rejects(guess('ada'), UnavailableError);
  t.equal(looked(), 0);
});

t.test('a counter that cannot be taken back leaves the fault that it was', async (t) => {
  const failing = await startRedis();
  const client = failing.client({ commandTimeout: 200, maxRetriesPerRequest: 0, enableOfflineQueue: false });
  await new Promise((resolve) => client.once('ready', resolve));
  const { throttle } = throttleOn(client);
  const fault = async () => {
    await failing.stop();
    throw new UnavailableError('the hasher is busy');
  };
  await t.rejects(throttle.guard({ username: 'ada', address: ADDRESS }, fault), { message: 'the hasher is busy' });
});

t.test('on a Cluster, where the two counters live in different slots', async (t) => {
  const cluster = await startCluster({ masters: 3 });
  t.teardown(() => cluster.stop());
  const { guess, looked } = throttleOn(cluster.cluster());
  await Promise.all(Array.from({ length: 50 }, () => guess('ada')));
  t.equal(looked(), 10);
});
