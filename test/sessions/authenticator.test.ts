import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { SessionStore } from '../../src/sessions/store.js';
import { startRedis } from '../support/redis.js';
import { interceptScripts, LIFETIMES, newSubject, pairOf, storeOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

/** Counts how often each command was called while `during` ran. */
async function commandsOf(during: () => Promise<unknown>): Promise<Record<string, number>> {
  await client.config('RESETSTAT');
  await during();
  const calls = [...(await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)];
  return Object.fromEntries(
    calls.map(([, command, count]) => [command!, Number(count)]).filter(([command]) => command !== 'config|resetstat'),
  );
}

/** Counts the keys that Redis looked up while `during` ran. */
async function readsOf(during: () => Promise<unknown>): Promise<number> {
  await client.config('RESETSTAT');
  await during();
  return [...(await client.info('stats')).matchAll(/keyspace_(?:hits|misses):(\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

t.test('authenticate reads one key with one command', async (t) => {
  const s = storeOn(client);
  const { pair } = await s.login();
  t.same(await commandsOf(() => s.store.authenticate(pair.access.token)), { mget: 1 });
});

t.test(
  'authenticate returns a principal that is frozen at every depth, also where its data contains null',
  async (t) => {
    const s = storeOn(client);
    const data = { nothing: null, list: [{ deep: null }] };
    const { pair } = await s.login('frozen', { identity: { subject: 'frozen', methods: ['pwd'], data } });
    const principal = (await s.store.authenticate(pair.access.token))!;
    t.strictSame(principal.data, data);
    for (const each of [
      principal,
      principal.methods,
      principal.data!,
      principal.data!.list,
      (principal.data!.list as object[])[0],
    ])
      t.ok(Object.isFrozen(each));
  },
);

t.test('authenticate sends nothing to Redis for a malformed token', async (t) => {
  const s = storeOn(client);
  const { pair } = await s.login();
  const wrong = `${pair.access.token.slice(0, -1)}${pair.access.token.endsWith('A') ? 'E' : 'A'}`;
  t.same(
    await commandsOf(async () => {
      for (const token of ['', 'x', wrong, pair.refresh.token, `${pair.access.token}\n`]) {
        t.equal(await s.store.authenticate(token), undefined);
      }
    }),
    {},
  );
});

t.test('the lookups of one event-loop turn are gathered into MGETs of at most 128 keys', async (t) => {
  const s = storeOn(client);
  const logins = await Promise.all(Array.from({ length: 300 }, () => s.login()));
  const unknown = s.tokenKeys.mint('0000').access.token;
  for (const [count, commands] of [
    [1, 1],
    [128, 1],
    [129, 2],
    [300, 3],
  ] as const) {
    const asked = logins.slice(0, count);
    let principals: unknown[] = [];
    const calls = await commandsOf(async () => {
      principals = await Promise.all(asked.map(({ pair }) => s.store.authenticate(pair.access.token)));
    });
    t.same(calls, { mget: commands }, `${count} lookups`);
    t.same(
      principals,
      asked.map(({ principal }) => principal),
      'each lookup gets its own principal',
    );
  }
  t.equal(await s.store.authenticate(unknown), undefined);
});

t.test('concurrent lookups of one token share a read until it is sent, and not afterwards', async (t) => {
  const s = storeOn(client);
  const logins = await Promise.all(Array.from({ length: 129 }, () => s.login()));
  const [first, ...others] = logins.map(({ pair }) => pair.access.token) as [string, ...string[]];

  t.equal(
    await readsOf(() => Promise.all([first, others[0]!, first, first].map((token) => s.store.authenticate(token)))),
    2,
  );
  t.equal(
    await readsOf(() => s.store.authenticate(first).then(() => s.store.authenticate(first))),
    2,
    'a response is not cached',
  );

  const afterSending = await readsOf(async () => {
    const early = s.store.authenticate(first);
    await setImmediate();
    await Promise.all([early, s.store.authenticate(first)]);
  });
  t.equal(afterSending, 2, 'a read that has been sent is not shared');

  const afterFullBatch = await readsOf(() =>
    Promise.all([first, ...others, first].map((token) => s.store.authenticate(token))),
  );
  t.equal(afterFullBatch, 130, 'a read that was sent early with a full batch is not shared');
});

t.test('no request can change the principal of a concurrent request', async (t) => {
  const s = storeOn(client);
  const { pair } = await s.login('', {
    identity: { subject: newSubject(), methods: ['pwd'], data: { cart: { items: [1] } } },
  });
  const [one, another] = await Promise.all([
    s.store.authenticate(pair.access.token),
    s.store.authenticate(pair.access.token),
  ]);
  t.throws(() => Object.assign(one!, { subject: 'somebody else' }), TypeError);
  t.throws(() => (one!.methods as string[]).push('otp'), TypeError);
  t.throws(() => (one!.data!.cart as { items: number[] }).items.push(2), TypeError);
  t.same(another!.data, { cart: { items: [1] } });
});

t.test(
  'a rotation runs one script, and its confirmation runs one for any number of concurrent first uses',
  async (t) => {
    const s = storeOn(client);
    const { pair } = await s.login();
    const { pair: warm } = pairOf(await s.rotate(pair.refresh));
    await s.use(warm);
    await s.backdate(warm.refresh, LIFETIMES.refreshGraceMs);
    let next = warm;
    t.match(await commandsOf(async () => ({ pair: next } = pairOf(await s.rotate(warm.refresh)))), {
      evalsha: 1,
      eval: undefined,
    });
    const calls = await commandsOf(async () => {
      await Promise.all(Array.from({ length: 200 }, () => s.store.authenticate(next.access.token)));
      await s.store.close();
    });
    t.match(calls, { mget: 1, evalsha: 1 });
    t.same(await commandsOf(() => s.store.authenticate(next.access.token)), { mget: 1 }, 'later uses confirm nothing');
  },
);

t.test(
  'requests that use an unconfirmed pair while its confirmation is running do not start another one',
  async (t) => {
    const s = storeOn(client);
    const { pair: first } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    let calls = 0;
    let answer = () => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const slow = interceptScripts(client, async (run) => {
      calls++;
      await answered;
      return run();
    });
    const store = new SessionStore({ lookups: client, scripts: slow }, s.options);

    // One after the other, so that no two share a read.
    for (let i = 0; i < 7; i++) t.ok(await store.authenticate(pair.access.token));
    t.equal(calls, 1);
    answer();
    await store.close();
    t.ok((await s.stored(pair.refresh)).confirmedAt);
    t.ok(await store.authenticate(pair.access.token));
    await store.close();
    t.equal(calls, 1, 'a confirmed pair is not confirmed again');
    t.same(s.faults, []);
  },
);
