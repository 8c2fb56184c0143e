import t from 'tap';
import { slotOf } from '../../src/redis/slot.js';
import type { IssuedTokens } from '../../src/sessions/session.js';
import { addUser, readRefusals } from '../support/acl.js';
import { keysUnder } from '../support/audit.js';
import { startCluster } from '../support/redis.js';
import { newSubject, storeOn } from './fixture.js';

const { nodes, cluster, stop } = await startCluster({ masters: 2, args: ['--appendonly', 'no'] });
t.teardown(stop);
const admins = nodes.map((node) => node.client());
const [user] = await Promise.all(admins.map((admin) => addUser(admin, 'latchkey', '')));
const client = cluster({ retryDelayOnTryAgain: 1, redisOptions: { ...user } });
await client.ping();

/** Logs in, then moves the slot of the session to another node but stops after the keys that `moved` selects. */
async function startMove(moved: (keys: Moving) => string[]) {
  const s = storeOn(client);
  const subject = newSubject();
  const tokens = await s.login(subject);
  const keys = {
    set: s.keys.sessions(subject),
    session: s.sessionKey(tokens.pair.refresh),
    access: s.accessKey(tokens.pair),
  };
  const slot = slotOf(keys.set);
  const from = nodes.find(({ host, port }) => client.slots[slot]![0] === `${host}:${port}`)!;
  const to = nodes.find((node) => node !== from)!;
  const [source, target] = [from.client(), to.client()];
  const [fromId, toId] = await Promise.all(
    [source, target].map((node) => node.call('CLUSTER', 'MYID') as Promise<string>),
  );
  await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId!);
  await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId!);
  const move = async (names: string[]) => {
    for (const name of names) await source.migrate(to.host, to.port, name, 0, 60_000);
  };
  await move(moved(keys));

  /** Moves the remaining keys and then the slot itself. */
  const finish = async () => {
    await move(await keysUnder(source, s.prefix));
    for (const node of [target, source]) await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId!);
    source.disconnect();
    target.disconnect();
  };
  return { ...s, subject, tokens, source, target, move, finish, names: keys };
}

interface Moving {
  readonly set: string;
  readonly session: string;
  readonly access: string;
}

type Moved = Awaited<ReturnType<typeof startMove>>;

const unavailable = { code: 'unavailable' };
const idOf = ({ pair }: IssuedTokens) => pair.refresh.sessionId;

t.test('an operation on a session whose keys are on two nodes fails and changes nothing', async (t) => {
  const states: Record<string, (keys: Moving) => string[]> = {
    'the set has moved': ({ set }) => [set],
    'the session has moved': ({ session }) => [session],
    'the access key has moved': ({ access }) => [access],
    'all but the set have moved': ({ session, access }) => [session, access],
    'all but the session have moved': ({ set, access }) => [set, access],
    'all but the access key have moved': ({ set, session }) => [set, session],
  };
  const operations: Record<string, (s: Moved) => Promise<unknown>> = {
    revoke: (s) => s.store.revoke(s.subject, idOf(s.tokens), 'revoked'),
    revokeAll: (s) => s.store.revokeAll(s.subject, { reason: 'revoked' }),
    rotate: (s) => s.rotate(s.tokens.pair.refresh),
    update: (s) => s.store.update(s.subject, idOf(s.tokens), { theme: 'dark' }),
  };
  for (const [state, moved] of Object.entries(states)) {
    for (const [operation, run] of Object.entries(operations)) {
      const s = await startMove(moved);
      const before = await contents(s);
      // An update does not use the set, so that may be on the other node.
      const refused = operation !== 'update' || !['the set has moved', 'all but the set have moved'].includes(state);
      if (refused) {
        await t.rejects(run(s), unavailable, `${state}: ${operation}`);
        t.same(await contents(s), before, `${state}: ${operation} changes nothing`);
      }
      await s.finish();
      t.match(
        await s.store.authenticate(s.tokens.pair.access.token),
        { subject: s.subject },
        `${state}: the session is alive after ${operation}`,
      );
      await t.resolves(run(s), `${operation} succeeds once the slot has moved`);
    }
  }
});

t.test('a session without an access key is neither lost nor left out of a list while its slot moves', async (t) => {
  const s = await startMove(({ set }) => [set]);
  await s.source.del(s.names.access);
  await t.rejects(s.store.revokeAll(s.subject, { reason: 'revoked' }), unavailable);
  await t.rejects(s.store.list(s.subject), unavailable, 'list does not leave the session out');
  await s.finish();
  t.equal((await s.store.list(s.subject)).length, 1);
  t.same(await s.store.revokeAll(s.subject, { reason: 'revoked' }), [idOf(s.tokens)]);
  t.same(await s.store.list(s.subject), []);
  t.equal((await s.rotate(s.tokens.pair.refresh)).outcome, 'ended');
});

t.test('a session whose keys have all moved works on its new node before the slot is assigned to it', async (t) => {
  const s = await startMove(({ set, session, access }) => [set, session, access]);
  t.match(await s.store.authenticate(s.tokens.pair.access.token), { subject: s.subject });
  t.equal((await s.store.list(s.subject)).length, 1);
  const rotation = await s.rotate(s.tokens.pair.refresh);
  t.equal(rotation.outcome, 'rotated');
  t.equal(await s.store.revoke(s.subject, idOf(s.tokens), 'revoked'), true);
  await s.finish();
  t.equal(await s.store.authenticate(s.tokens.pair.access.token), undefined);
  t.same(await s.all(), [s.endedKey(s.tokens.pair.refresh).slice(s.prefix.length)]);
  t.same((await Promise.all(admins.map(readRefusals))).flat(), [], 'the ACL of users.acl allows every command');
});

/** Every key on both nodes with its value. */
async function contents({ source, target, prefix }: Moved) {
  const values: unknown[] = [];
  for (const node of [source, target]) {
    for (const key of await keysUnder(node, prefix)) {
      const [, value] = await Promise.all([node.call('ASKING'), node.dump(key)]);
      values.push([key, value]);
    }
  }
  return values;
}
