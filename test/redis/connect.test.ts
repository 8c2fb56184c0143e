import { join } from 'node:path';
import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import t from 'tap';
import { connect, type RedisLocation, waitUntilReady } from '../../src/redis/connect.js';
import type { RedisClient } from '../../src/redis/script.js';
import { awakeMs } from '../support/cpu.js';
import { startCluster, startRedis, startSentinel } from '../support/redis.js';

const noCredentials = { username: undefined, password: undefined };
const anonymous = { tls: false, ...noCredentials };

const open = (t: Tap, location: RedisLocation, timeoutMs = 1000): RedisClient => {
  const client = connect(location, { timeoutMs, name: 'latchkey-test', onError: () => undefined });
  t.teardown(() => client.disconnect());
  return client;
};
type Tap = { teardown(fn: () => void): void };

t.test('connects to a database of a standalone server, under a connection name', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const client = open(t, { ...redis.location, db: 3 });
  await waitUntilReady(client, 60_000);
  t.type(client, Redis);
  await client.set('key', 'value');
  const inspector = redis.client({ db: 3 });
  t.equal(await inspector.get('key'), 'value');
  t.match(await inspector.client('LIST'), /name=latchkey-test /);
  await waitUntilReady(client, 0);
  t.equal(client.status, 'ready', 'waiting for a ready client returns at once');
});

t.test('the error about a refused password does not contain it', async (t) => {
  const [redis, cluster] = await Promise.all([startRedis(), startCluster({ masters: 3 })]);
  t.teardown(() => Promise.all([redis.stop(), cluster.stop()]));
  const access = { tls: false, username: 'nobody', password: 'canary-password' };
  for (const location of [
    { ...redis.location, ...access },
    { ...cluster.location, ...access },
  ]) {
    const error = await new Promise<Error>((resolve) => {
      const client = connect(location, { timeoutMs: 1000, name: 'latchkey-test', onError: resolve });
      t.teardown(() => client.disconnect());
    });
    t.notMatch(inspect(error, { depth: 10, showHidden: true }), 'canary', location.kind);
  }
});

t.test('connects over a unix socket, with and without a username', async (t) => {
  // Relative to the directory of the server: the path of a socket must be short.
  const redis = await startRedis({ args: ['--unixsocket', './s'] });
  const path = join(redis.directory, 's');
  t.teardown(() => redis.stop());
  await redis.client().config('SET', 'requirepass', 'sesame');
  const client = open(t, { kind: 'unix', path, username: undefined, password: 'sesame' });
  await waitUntilReady(client, 60_000);
  t.equal(await client.ping(), 'PONG');
  const user = open(t, { kind: 'unix', path, username: 'default', password: 'sesame' });
  await waitUntilReady(user, 60_000);
  t.equal(await user.ping(), 'PONG');
  const stranger = open(t, { kind: 'unix', path, ...noCredentials });
  await waitUntilReady(stranger, 300);
  await t.rejects(stranger.get('key'));
});

t.test('does not connect with TLS to a server that has none', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const errors: Error[] = [];
  const client = connect(
    { ...redis.location, tls: true },
    { timeoutMs: 300, name: 'x', onError: (error) => errors.push(error) },
  );
  t.teardown(() => client.disconnect());
  await waitUntilReady(client, 500);
  t.not(client.status, 'ready', 'a server without TLS is refused');
  t.ok(errors.length > 0, 'the refusal is reported');
  const viaSentinel = open(
    t,
    {
      kind: 'sentinel',
      sentinels: [{ host: redis.host, port: redis.port }],
      name: 'm',
      db: 0,
      ...anonymous,
      tls: true,
    },
    300,
  );
  await waitUntilReady(viaSentinel, 300);
  t.not(viaSentinel.status, 'ready');
});

t.test('a command without a connection fails at once, and works when the server is back', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  await redis.kill();
  const client = open(t, redis.location);
  const begun = Date.now();
  await waitUntilReady(client, 200);
  t.ok(Date.now() - begun >= 190, 'waiting for the connection ends after its timeout');
  const before = awakeMs();
  await t.rejects(client.get('key'));
  t.ok(awakeMs() - before < 500, 'long before its deadline');

  await redis.restart();
  await waitUntilReady(client, 60_000);
  t.equal(await client.ping(), 'PONG', 'the client reconnects by itself');
});

t.test('connects to the master that Sentinel names', async (t) => {
  const sentinel = await startSentinel();
  t.teardown(() => sentinel.stop());
  const client = open(t, sentinel.location);
  await waitUntilReady(client, 60_000);
  await client.set('key', 'value');
  t.equal(await sentinel.master.client().get('key'), 'value');
});

t.test('connects to a Cluster and uses every node of it', async (t) => {
  const cluster = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(() => cluster.stop());
  const client = open(t, { ...cluster.location, nodes: cluster.location.nodes.slice(0, 1) });
  await waitUntilReady(client, 60_000);
  t.type(client, Cluster);
  for (let i = 0; i < 30; i++) await client.set(`key:${i}`, i);
  const stored = await Promise.all(cluster.nodes.map((node) => node.client().dbsize()));
  t.equal(
    stored.reduce((sum, count) => sum + count),
    30,
  );
  t.ok(
    stored.every((count) => count > 0),
    'every node has keys',
  );
});
