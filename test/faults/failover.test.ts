import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { connect, type RedisLocation, waitUntilReady } from '../../src/redis/connect.js';
import type { RedisClient } from '../../src/redis/script.js';
import type { TokenPair } from '../../src/sessions/token.js';
import { newSubject, pairOf, storeOn, type TestStore } from '../sessions/fixture.js';
import { awakeMs } from '../support/cpu.js';
import { startCluster, startSentinel } from '../support/redis.js';
import { until } from '../support/redis/waiting.js';

const DEADLINE = 1_000;
const SLACK = 1_000;

type Server = Awaited<ReturnType<typeof startSentinel>>['master'];

function open(t: Test, location: RedisLocation): RedisClient {
  const client = connect(location, { timeoutMs: DEADLINE, name: 'latchkey-test', onError: () => undefined });
  t.teardown(() => client.disconnect());
  return client;
}

/** Stops replication: the replica receives nothing that its master acknowledges from now on. */
async function cutOff(replica: Server, master: Server): Promise<void> {
  const client = replica.client();
  await client.config('SET', 'masterauth', 'a password that the master does not know');
  await master.client().call('CLIENT', 'KILL', 'TYPE', 'replica');
  await until('the replica is cut off', async () =>
    (await client.info('replication')).includes('master_link_status:down'),
  );
}

async function waitForReplica(master: Server): Promise<void> {
  await master.client().call('WAIT', '1', '5000');
}

/** Repeats an operation until it is answered, as clients do after a 503. Every fault must come within the deadline. */
async function retry<T>(t: Test, operation: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 120_000;
  let slowest = 0;
  for (let faults = 0; ; faults++) {
    const begun = awakeMs();
    try {
      const answer = await operation();
      t.comment(`answered after ${faults} faults, the slowest after ${slowest} ms`);
      t.ok(slowest < DEADLINE + SLACK, `the slowest fault took ${slowest} ms`);
      return answer;
    } catch (error) {
      if (!(error instanceof UnavailableError) || performance.now() > deadline) throw error;
      slowest = Math.max(slowest, awakeMs() - begun);
      await sleep(50);
    }
  }
}

interface Victim {
  subject: string;
  first: TokenPair;
  pair: TokenPair;
}

async function logIn(s: TestStore, subject = newSubject()): Promise<Victim> {
  const { pair: first } = await s.login(subject);
  const [, pair] = (await s.rotations(first, 1)) as [TokenPair, TokenPair];
  return { subject, first, pair };
}

async function checkAfterFailover(
  t: Test,
  s: TestStore,
  victims: { current: Victim; behind: Victim; stolen: Victim },
  failOver: () => Promise<void>,
) {
  const { current, behind, stolen } = victims;
  const lost = await Promise.all(
    [current, behind, stolen].map(async ({ pair }) => pairOf(await s.rotate(pair.refresh)).pair),
  );
  for (const pair of lost) await s.use(pair);
  await failOver();

  const unknown = await retry(t, async () => ({ is: await s.store.authenticate(lost[0]!.access.token) }));
  t.equal(unknown.is, undefined, 'the rotation was lost, as this test needs it');

  const redone = pairOf(await retry(t, () => s.rotate(lost[0]!.refresh)));
  t.equal(redone.outcome, 'unchanged');
  t.same(redone.pair, lost[0], 'repeating the rotation gives the same tokens');
  t.match(await s.store.authenticate(lost[0]!.access.token), { subject: current.subject });
  t.equal((await s.stored(current.pair.refresh)).generation, '3');

  const again = pairOf(await retry(t, () => s.rotate(behind.pair.refresh)));
  t.equal(again.outcome, 'rotated', 'a tab that is one rotation behind gets the same tokens');
  t.same(again.pair, lost[1]);
  t.equal((await s.rotate(lost[1]!.refresh)).outcome, 'unchanged');

  t.equal(
    (await retry(t, () => s.rotate(stolen.first.refresh))).outcome,
    'reused',
    'a token that was used before the failover is still recognised as reused',
  );
  t.same(await s.rotate(lost[2]!.refresh), { outcome: 'ended', reason: 'reused' });
  t.same((await s.store.list(current.subject)).length, 1);
}

/** Checks revocations that wait for a replica, with a replica and then without; `cut` takes the replica away. */
async function checkRevocations(
  t: Test,
  s: TestStore,
  victims: readonly Victim[],
  another: RedisClient,
  cut: () => Promise<void>,
) {
  const [first, second, third, fourth] = victims as [Victim, Victim, Victim, Victim];
  const careful = storeOn(s.client, { prefix: s.prefix, revocationReplicas: 1 });
  t.equal(await careful.store.revoke(first.subject, first.pair.refresh.sessionId, 'revoked'), true);
  const replaced = await careful.login(first.subject);
  const supersedes = replaced.pair.refresh.sessionId;
  t.same(
    (await careful.login(first.subject, { supersedes })).superseded,
    [supersedes],
    'a session that another replaces is ended',
  );
  await cut();
  await t.rejects(
    careful.store.revoke(second.subject, second.pair.refresh.sessionId, 'revoked'),
    UnavailableError,
    'a revocation that no replica has is not acknowledged',
  );
  t.equal(await s.store.authenticate(second.pair.access.token), undefined, 'the revocation took effect');
  await t.rejects(
    careful.store.revokeAll(second.subject, { reason: 'revoked' }),
    UnavailableError,
    'a repeated revocation is not acknowledged',
  );
  await t.rejects(
    careful.store.awaitRevocations(second.pair.access.token),
    UnavailableError,
    'a dead token is not acknowledged as revoked',
  );
  await t.rejects(
    careful.rotate(third.first.refresh),
    UnavailableError,
    'an end by a reused token is not acknowledged',
  );
  t.equal(await s.store.authenticate(third.pair.access.token), undefined, 'the session has ended');
  await t.rejects(
    careful.rotate(third.first.refresh),
    UnavailableError,
    'an ended session is not acknowledged as ended',
  );
  await t.rejects(
    careful.login(fourth.subject, { supersedes: fourth.pair.refresh.sessionId }),
    UnavailableError,
    'the replacement of a session is not acknowledged',
  );
  const crowded = storeOn(s.client, { prefix: s.prefix, revocationReplicas: 1, sessionsPerUser: 1 });
  await t.rejects(
    crowded.login(fourth.subject),
    UnavailableError,
    'the end of a displaced session is not acknowledged',
  );
  t.match(
    await careful.login(newSubject()),
    { evicted: [] },
    'a login that ends no session does not wait for replicas',
  );
  const elsewhere = storeOn(another, { prefix: s.prefix, revocationReplicas: 1 });
  await t.rejects(
    elsewhere.store.revoke(first.subject, first.pair.refresh.sessionId, 'revoked'),
    UnavailableError,
    'a process that has written nothing yet does not acknowledge it either',
  );
}

t.test('a Sentinel failover that loses a rotation ends no session', async (t) => {
  const sentinel = await startSentinel();
  t.teardown(() => sentinel.stop());
  const [lookups, scripts] = [open(t, sentinel.location), open(t, sentinel.location)];
  await Promise.all([lookups, scripts].map((client) => waitUntilReady(client, 60_000)));
  const s = storeOn(scripts, { lookups });
  const [current, behind, stolen] = [await logIn(s), await logIn(s), await logIn(s)];
  await waitForReplica(sentinel.master);

  const revoked = [await logIn(s), await logIn(s), await logIn(s), await logIn(s)];
  await checkRevocations(t, s, revoked, lookups, () => cutOff(sentinel.replica, sentinel.master));
  await checkAfterFailover(t, s, { current, behind, stolen }, () => sentinel.master.kill());
  t.match(await sentinel.replica.client().info('replication'), /role:master/);
  await s.store.close();
});

t.test('a Cluster failover that loses a rotation ends no session', async (t) => {
  const cluster = await startCluster({ masters: 3, replicas: 1 });
  t.teardown(() => cluster.stop());
  const [client, another] = [open(t, cluster.location), open(t, cluster.location)];
  await Promise.all([client, another].map((each) => waitUntilReady(each, 60_000)));
  const s = storeOn(client);
  const [master, , , replica] = cluster.nodes as [Server, Server, Server, Server];
  const owned: Victim[] = [];
  while (owned.length < 7) {
    const victim = await logIn(s);
    const key = s.sessionKey(victim.pair.refresh);
    if (
      ((await master
        .client()
        .call(
          'CLUSTER',
          'COUNTKEYSINSLOT',
          (await master.client().call('CLUSTER', 'KEYSLOT', key)) as string,
        )) as number) > 0
    )
      owned.push(victim);
  }
  const [current, behind, stolen, ...revoked] = owned as [Victim, Victim, Victim, ...Victim[]];
  await waitForReplica(master);
  await checkRevocations(t, s, revoked, another, () => cutOff(replica, master));
  await checkAfterFailover(t, s, { current, behind, stolen }, () => master.kill());
  t.match(await replica.client().info('replication'), /role:master/);
  t.same(s.faults, []);
  await s.store.close();
});
