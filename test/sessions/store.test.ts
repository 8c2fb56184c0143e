import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { RedisClient } from '../../src/redis/script.js';
import type { Rotation } from '../../src/sessions/session.js';
import { SessionStore } from '../../src/sessions/store.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { until } from '../support/redis/waiting.js';
import { startRedis } from '../support/redis.js';
import { testSessionStore } from './store/suite.js';
import { LIFETIMES, newSubject, pairOf, storeOn } from './fixture.js';

const redis = await startRedis({ args: ['--appendonly', 'no'] });
t.teardown(() => redis.stop());
const client = redis.client();

testSessionStore(t, client);

/** How often each command was called while `during` ran. */
async function commandsOf(during: () => Promise<unknown>): Promise<Record<string, number>> {
  await client.config('RESETSTAT');
  await during();
  const calls = [...(await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)];
  return Object.fromEntries(
    calls.map(([, command, count]) => [command!, Number(count)]).filter(([command]) => command !== 'config|resetstat'),
  );
}

/** The keys that Redis was asked for. */
async function readsOf(during: () => Promise<unknown>): Promise<number> {
  await client.config('RESETSTAT');
  await during();
  return [...(await client.info('stats')).matchAll(/keyspace_(?:hits|misses):(\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}

t.test('a lookup is one read', async (t) => {
  const s = storeOn(client);
  const { pair } = await s.login();
  t.same(await commandsOf(() => s.store.authenticate(pair.access.token)), { mget: 1 });
});

t.test(
  'a principal, which several requests may hold, is frozen to the bottom, and null in its data is no obstacle',
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

t.test('a request without a well-formed token never reaches Redis', async (t) => {
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
      'each is told what is its own',
    );
  }
  t.equal(await s.store.authenticate(unknown), undefined);
});

t.test('what is shown again shares a read until that is sent, and never after', async (t) => {
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
    'an answer is never kept',
  );

  const whileItIsAway = await readsOf(async () => {
    const early = s.store.authenticate(first);
    await setImmediate();
    await Promise.all([early, s.store.authenticate(first)]);
  });
  t.equal(whileItIsAway, 2, 'nor is a read shared whose answer is on its way');

  const asSoonAsItIsSent = await readsOf(() =>
    Promise.all([first, ...others, first].map((token) => s.store.authenticate(token))),
  );
  t.equal(asSoonAsItIsSent, 130, 'nor one that went early, with a full batch');
});

t.test('no request can change what another is told', async (t) => {
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

t.test('a rotation is one script, its confirmation another one, however many use it first', async (t) => {
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
});

t.test(
  'an unconfirmed pair is confirmed by one script, however many requests use it before that answers',
  async (t) => {
    const s = storeOn(client);
    const { pair: first } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    let calls = 0;
    let answer = () => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    const evalsha = async (...words: Parameters<RedisClient['evalsha']>) => {
      calls++;
      await answered;
      return client.evalsha(...words);
    };
    const slow = new Proxy(client, {
      get: (target, name) => (name === 'evalsha' ? evalsha : (Reflect.get(target, name) as unknown)),
    });
    const store = new SessionStore({ lookups: client, scripts: slow }, s.options);

    // Each waits for its own read, in a turn of the event loop of its own.
    for (let i = 0; i < 7; i++) t.ok(await store.authenticate(pair.access.token));
    t.equal(calls, 1);
    answer();
    await store.close();
    t.ok((await s.stored(pair.refresh)).confirmedAt);
    t.ok(await store.authenticate(pair.access.token));
    await store.close();
    t.equal(calls, 1, 'none for what is confirmed');
    t.same(s.faults, []);
  },
);

t.test('a Redis that forgets its scripts goes unnoticed', async (t) => {
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

t.test('in a Redis that is out of memory', async (t) => {
  const s = storeOn(client);
  const full = async (during: () => Promise<unknown>) => {
    await client.config('SET', 'maxmemory', 1);
    try {
      await during();
    } finally {
      await client.config('SET', 'maxmemory', 0);
    }
  };
  const everything = async () => {
    const names = await s.all();
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await client.dump(s.prefix + name)])));
  };

  await t.test('a login is refused, and nothing has changed', async (t) => {
    const one = storeOn(client, { prefix: s.prefix, sessionsPerUser: 1 });
    const subject = newSubject();
    const { pair } = await one.login(subject);
    const before = await everything();
    await full(async () => {
      await t.rejects(one.login(subject), { code: 'unavailable' }, 'with one to evict');
      await t.rejects(
        s.login(subject, { supersedes: pair.refresh.sessionId }),
        { code: 'unavailable' },
        'with one to supersede',
      );
      await t.rejects(s.login(), { code: 'unavailable' });
    });
    t.same(await everything(), before);
  });

  await t.test('a refresh goes on, and is done whole', async (t) => {
    const { pair: first } = await s.login();
    const [, later] = (await s.rotations((await s.login()).pair, 1)) as [TokenPair, TokenPair];
    for (const { refresh } of [first, later]) {
      let rotation: Rotation | undefined;
      await full(async () => (rotation = await s.rotate(refresh)));
      const { pair, outcome, principal } = pairOf(rotation!);
      t.equal(outcome, 'rotated');
      t.match(await s.stored(refresh), {
        refresh: pair.refresh.digest,
        access: pair.access.digest,
        generation: `${pair.refresh.generation}`,
      });
      t.same(await s.use(pair), principal);
      t.ok((await s.members(principal.subject))[`access:${pair.access.digest}`]);
      t.same(await findKeysWithoutExpiry(client, s.prefix), []);
    }
  });

  await t.test('a pair that is repeated is repeated whole, or not at all', async (t) => {
    const { pair: first } = await s.login();
    const { pair } = pairOf(await s.rotate(first.refresh));
    const before = await everything();
    await full(async () => {
      t.equal((await s.rotate(first.refresh)).outcome, 'retried', 'reading it needs no memory');
      await t.rejects(s.rotate(pair.refresh), { code: 'unavailable' });
      t.ok(await s.store.authenticate(pair.access.token), 'its access token works');
      await s.store.close();
    });
    t.same(await everything(), before);
    t.match(s.faults, [{ code: 'unavailable' }], 'a confirmation that failed is told of');
    await s.use(pair);
    t.ok((await s.stored(pair.refresh)).confirmedAt, 'and the next use makes up for it');
  });

  await t.test('every kind of logout works, and so does a password change', async (t) => {
    const subject = newSubject();
    await client.hset(s.keys.user(subject), 'password', 'phc-1');
    const logins = await Promise.all(Array.from({ length: 6 }, () => s.login(subject)));
    const [a, b, c, d, e, f] = logins.map(({ pair }) => pair) as [
      TokenPair,
      TokenPair,
      TokenPair,
      TokenPair,
      TokenPair,
      TokenPair,
    ];
    const [, spentBy] = (await s.rotations(c, 1)) as [TokenPair, TokenPair];
    await full(async () => {
      t.equal(await s.store.revoke(subject, a.refresh.sessionId, 'revoked'), true);
      t.ok(await s.store.revokeByToken(b.refresh, 'logged_out'));
      t.equal((await s.rotate(c.refresh)).outcome, 'reused');
      await s.store.revokeAll(subject, { reason: 'logged_out_elsewhere', own: { sessionId: d.refresh.sessionId } });
      await s.store.revokeAll(subject, {
        reason: 'password_changed',
        credential: { verified: 'phc-1', replacement: 'phc-2' },
      });
      await s.store.revokeAll(subject, { reason: 'logged_out' });
      for (const pair of [a, b, c, spentBy, d, e, f]) t.equal(await s.store.authenticate(pair.access.token), undefined);
    });
    const reasons = await Promise.all([a, b, c, d, e, f].map(({ refresh }) => client.get(s.endedKey(refresh))));
    t.same(reasons, [
      'revoked',
      'logged_out',
      'reused',
      'password_changed',
      'logged_out_elsewhere',
      'logged_out_elsewhere',
    ]);
    t.equal(await client.hget(s.keys.user(subject), 'password'), 'phc-2');
    t.equal((await s.all()).filter((key) => key.includes(a.refresh.sessionId) && !key.includes(':ended:')).length, 0);
  });
});

t.test('the limit may be lowered by thousands', async (t) => {
  const s = storeOn(client, { sessionsPerUser: 100_000 });
  const subject = newSubject();
  await Promise.all(Array.from({ length: 9_000 }, () => s.login(subject)));
  const { evicted } = await storeOn(client, { prefix: s.prefix, sessionsPerUser: 5 }).login(subject);
  t.equal(evicted.length, 8_996);
  t.equal((await s.store.list(subject)).length, 5);
});

t.test(
  'a server that is killed and started again with its append-only file still has all that was acknowledged',
  async (t) => {
    const durable = await startRedis();
    t.teardown(() => durable.stop());
    const s = storeOn(durable.client({ maxRetriesPerRequest: null }));
    const subject = newSubject();
    await durable.client().hset(s.keys.user(subject), 'password', 'phc-1');

    for (let round = 0; round < 3; round++) {
      const rotated = new Map<string, TokenPair>();
      const revoked: TokenPair[] = [];
      let working = true;
      const worker = async () => {
        while (working) {
          const { pair } = await s.login(newSubject());
          const { pair: next } = pairOf(await s.rotate(pair.refresh));
          rotated.set(next.refresh.sessionId, next);
          if (rotated.size % 2 === 0) continue;
          await s.store.revokeByToken(next.refresh, 'logged_out');
          revoked.push(next);
          rotated.delete(next.refresh.sessionId);
        }
      };
      const workers = Array.from({ length: 8 }, () =>
        worker().catch((error: unknown) => t.match(error, { code: 'unavailable' })),
      );
      await until('enough was rotated and revoked', async () => rotated.size > 30 && revoked.length > 30);
      await durable.kill();
      working = false;
      const known = new Map(rotated);
      const dead = [...revoked];
      await durable.restart();
      await Promise.all(workers);

      t.comment(`${known.size} rotations, ${dead.length} revocations`);
      for (const pair of known.values()) {
        const stored = await s.stored(pair.refresh);
        // Its revocation may have been written while its answer was lost.
        if (!stored.refresh) t.equal(await durable.client().get(s.endedKey(pair.refresh)), 'logged_out');
        else if (stored.refresh !== pair.refresh.digest) t.fail('an acknowledged rotation is lost');
      }
      for (const pair of dead) {
        if (await s.store.authenticate(pair.access.token)) t.fail('what was revoked lives again');
        t.same(await s.rotate(pair.refresh), { outcome: 'ended', reason: 'logged_out' });
      }
      t.same(await findKeysWithoutExpiry(durable.client(), s.prefix), []);
    }
  },
);
