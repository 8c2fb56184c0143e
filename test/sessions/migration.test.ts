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

/** A session whose slot is being moved, of which these keys have moved so far: what a resharding does, stopped on its way. */
async function halfMoved(moved: (keys: Moving) => string[]) {
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
    for (const name of names) await source.migrate(to.host, to.port, name, 0, 5_000);
  };
  await move(moved(keys));

  /** Moves what is left, and then the slot itself. */
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

type Moved = Awaited<ReturnType<typeof halfMoved>>;

const unavailable = { code: 'unavailable' };
const idOf = ({ pair }: IssuedTokens) => pair.refresh.sessionId;

t.test('what a move tears apart is neither ended by halves nor acknowledged', async (t) => {
  const states: Record<string, (keys: Moving) => string[]> = {
    'the set has moved': ({ set }) => [set],
    'the session has moved': ({ session }) => [session],
    'its access key has moved': ({ access }) => [access],
    'all but the set': ({ session, access }) => [session, access],
    'all but the session': ({ set, access }) => [set, access],
    'all but the access key': ({ set, session }) => [set, session],
  };
  const operations: Record<string, (s: Moved) => Promise<unknown>> = {
    'one ends': (s) => s.store.revoke(s.subject, idOf(s.tokens), 'revoked'),
    'all end': (s) => s.store.revokeAll(s.subject, { reason: 'revoked' }),
    'it is refreshed': (s) => s.rotate(s.tokens.pair.refresh),
    'its data changes': (s) => s.store.update(s.subject, idOf(s.tokens), { theme: 'dark' }),
  };
  for (const [state, moved] of Object.entries(states)) {
    for (const [operation, run] of Object.entries(operations)) {
      const s = await halfMoved(moved);
      const before = await contents(s);
      // What it has nothing to do with may be elsewhere.
      const refused = operation !== 'its data changes' || !['the set has moved', 'all but the set'].includes(state);
      if (refused) {
        await t.rejects(run(s), unavailable, `${state}: ${operation}`);
        t.same(await contents(s), before, 'and nothing has changed');
      }
      await s.finish();
      t.match(await s.store.authenticate(s.tokens.pair.access.token), { subject: s.subject }, 'the session lives on');
      await t.resolves(run(s), 'and once the slot has moved, it is done');
    }
  }
});

t.test('a session that nobody has used for a while is no exception', async (t) => {
  const s = await halfMoved(({ set }) => [set]);
  await s.source.del(s.names.access);
  await t.rejects(s.store.revokeAll(s.subject, { reason: 'revoked' }), unavailable);
  await t.rejects(s.store.list(s.subject), unavailable, 'nor is it left out of a list');
  await s.finish();
  t.equal((await s.store.list(s.subject)).length, 1);
  t.same(await s.store.revokeAll(s.subject, { reason: 'revoked' }), [idOf(s.tokens)]);
  t.same(await s.store.list(s.subject), []);
  t.equal((await s.rotate(s.tokens.pair.refresh)).outcome, 'ended');
});

t.test('what has moved as a whole is found on its new node before the slot is there', async (t) => {
  const s = await halfMoved(({ set, session, access }) => [set, session, access]);
  t.match(await s.store.authenticate(s.tokens.pair.access.token), { subject: s.subject });
  t.equal((await s.store.list(s.subject)).length, 1);
  const rotation = await s.rotate(s.tokens.pair.refresh);
  t.equal(rotation.outcome, 'rotated');
  t.equal(await s.store.revoke(s.subject, idOf(s.tokens), 'revoked'), true);
  await s.finish();
  t.equal(await s.store.authenticate(s.tokens.pair.access.token), undefined);
  t.same(await s.all(), [s.endedKey(s.tokens.pair.refresh).slice(s.prefix.length)]);
  t.same((await Promise.all(admins.map(readRefusals))).flat(), [], 'as the user of users.acl');
});

/** Every key of both nodes, with its value. */
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
