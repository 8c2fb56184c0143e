import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { connect, waitUntilReady } from '../../src/redis/connect.js';
import { newSubject, pairOf, storeOn, type TestStore } from '../sessions/fixture.js';
import { findKeysWithoutExpiry } from '../support/audit.js';
import { awakeMs } from '../support/cpu.js';
import { startRedis } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';

const DEADLINE = 400;
const SLACK = 600;

const redis = await startRedis();
t.teardown(() => redis.stop());
const observer = redis.client({ maxRetriesPerRequest: null });

const openClient = () => {
  const client = connect(redis.location, { timeoutMs: DEADLINE, name: 'latchkey-test', onError: () => undefined });
  t.teardown(() => client.disconnect());
  return client;
};
const [lookups, scripts] = [openClient(), openClient()];
const waitForRecovery = async () => {
  await Promise.all([lookups, scripts].map((client) => waitUntilReady(client, 60_000)));
};
await waitForRecovery();

/** Every operation on sessions; each returns whether its answer is right. */
function operations(s: TestStore, subject: string, token: Awaited<ReturnType<TestStore['login']>>['pair']) {
  const { refresh, access } = token;
  return {
    issue: async () => (await s.login(subject)).principal.subject === subject,
    authenticate: async () => (await s.store.authenticate(access.token))?.subject === subject,
    rotate: async () => pairOf(await s.rotate(refresh)).principal.subject === subject,
    inspectRefreshToken: async () => (await s.store.inspectRefreshToken(refresh))?.subject === subject,
    get: async () => (await s.store.get(subject, refresh.sessionId))?.subject === subject,
    list: async () => (await s.store.list(subject)).length > 0,
    update: async () => (await s.store.update(subject, refresh.sessionId, { seen: 1 }))?.seen === 1,
    revoke: async () => s.store.revoke(subject, refresh.sessionId, 'revoked'),
    revokeByToken: async () => (await s.store.revokeByToken(refresh, 'revoked'))?.subject === subject,
    revokeAll: async () => (await s.store.revokeAll(subject, { reason: 'revoked' })).length > 0,
  };
}

const names = Object.keys(operations(storeOn(scripts), '', storeOn(scripts).tokenKeys.mint('0000')));

t.test(
  'every operation fails with UnavailableError within the deadline while Redis is away, and works again afterwards',
  async (t) => {
    const s = storeOn(scripts, { lookups });
    const prepared = await Promise.all(
      names.map(async (name) => {
        const subject = newSubject();
        return [name, operations(s, subject, (await s.login(subject)).pair)[name as 'issue']] as const;
      }),
    );
    const allFail = async (how: string) => {
      await Promise.all(
        prepared.map(async ([name, operation]) => {
          const begun = awakeMs();
          await t.rejects(operation(), UnavailableError, `${name}: ${how}`);
          const took = awakeMs() - begun;
          t.ok(took < DEADLINE + SLACK, `in ${took} ms`);
        }),
      );
    };
    redis.pause();
    await allFail('paused');
    await allFail('still paused');
    await redis.kill();
    await allFail('killed');
    await sleep(100);
    await allFail('still killed');
    await redis.restart();
    await waitForRecovery();
    for (const [name, operation] of prepared) {
      // The paused server was killed before it read what was sent to it.
      t.equal(await operation(), true, `${name} works again`);
    }
  },
);

for (const [how, disturb] of [
  [
    'killed and started again',
    async () => {
      await redis.kill();
      await sleep(randomInt(200));
      await redis.restart();
    },
  ],
  ['restarted in good order', () => redis.restart()],
  [
    'paused for longer than the deadline',
    async () => {
      redis.pause();
      await sleep(3 * DEADLINE);
      redis.resume();
    },
  ],
] as const) {
  t.test(`every answer is right or an UnavailableError while Redis is ${how}`, async (t) => {
    const s = storeOn(scripts, { lookups });
    let over = false;
    let faults = 0;
    let slowest = 0;
    let answers = 0;

    /** Returns undefined for a fault; any other error ends the test. */
    const ask = async <T>(operation: () => Promise<T>): Promise<T | undefined> => {
      const begun = awakeMs();
      try {
        const answer = await operation();
        answers++;
        return answer;
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        faults++;
        await sleep(10);
        return undefined;
      } finally {
        slowest = Math.max(slowest, awakeMs() - begun);
      }
    };

    // A device repeats everything until it is answered, as clients do after a 503.
    const device = async () => {
      const subject = newSubject();
      let pair = (await ask(() => s.login(subject)))?.pair;
      while (!over) {
        if (!pair) {
          pair = (await ask(() => s.login(subject)))?.pair;
          continue;
        }
        const current = pair;
        const principal = await ask(async () => ({ is: await s.store.authenticate(current.access.token) }));
        if (principal && principal.is?.subject !== subject) t.fail('a valid access token was refused');
        const rotation = await ask(() => s.rotate(current.refresh));
        if (!rotation) continue;
        if (!('pair' in rotation)) return t.fail(`an active session was answered ${rotation.outcome}`);
        ({ pair } = rotation);
        const listed = await ask(() => s.store.list(subject));
        if (listed?.length === 0) t.fail('an active session was not listed');
      }
      while (pair) {
        const ended = await ask(() => s.store.revokeAll(subject, { reason: 'logged_out' }));
        if (!ended) continue;
        const last = await ask(async () => ({ is: await s.store.authenticate(pair.access.token) }));
        if (last?.is) t.fail('the session is active after its logout');
        if (last) break;
      }
    };
    const devices = Array.from({ length: 24 }, device);
    const progress = (from: number) => until('the devices have done more', () => answers > from + 200);
    await progress(0);
    await disturb();
    await waitForRecovery();
    await progress(answers);
    over = true;
    await Promise.all(devices);
    await s.store.close();
    t.ok(faults > 0, `${answers} answers, ${faults} faults`);
    t.ok(slowest < DEADLINE + SLACK, `the slowest took ${slowest} ms`);
    t.same(await findKeysWithoutExpiry(observer, s.prefix), []);
    const left = (await s.all()).filter((key) => !key.includes(':ended:'));
    // A login whose answer was lost leaves a session, which its device has ended with the others.
    t.same(left, []);
  });
}

t.test('nothing piles up while Redis does not answer', async (t) => {
  const s = storeOn(scripts, { lookups });
  const { pair } = await s.login();
  let pending = 0;
  let most = 0;
  let answered = 0;
  const queued = (client: unknown) => (client as { commandQueue: { length: number } }).commandQueue.length;
  let longest = 0;
  redis.pause();
  const begun = performance.now();
  const asking: Promise<void>[] = [];
  const ask = async (operation: () => Promise<unknown>) => {
    pending++;
    const outcome = await operation().catch((error: unknown) => error);
    if (!(outcome instanceof UnavailableError)) t.fail(`answered ${JSON.stringify(outcome)}`);
    pending--;
    answered++;
  };
  while (performance.now() - begun < 6 * DEADLINE) {
    for (let i = 0; i < 10; i++)
      asking.push(
        ask(() => s.store.authenticate(pair.access.token)),
        ask(() => s.store.list('nobody')),
      );
    await sleep(20);
    most = Math.max(most, pending);
    longest = Math.max(longest, queued(scripts), queued(lookups));
  }
  await Promise.all(asking);
  const rate = answered / (performance.now() - begun);
  t.ok(most < rate * (DEADLINE + SLACK), `${answered} questions, at most ${most} of them open`);
  t.ok(longest < rate * 2 * (DEADLINE + SLACK), `at most ${longest} commands in a queue`);
  redis.resume();
  await waitForRecovery();
  t.ok(await s.store.authenticate(pair.access.token), 'everything works again afterwards');
  t.same(s.faults, []);
});
