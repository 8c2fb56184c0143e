import { join } from 'node:path';
import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import t from 'tap';
import { connect, type RedisLocation, waitUntilReady } from '../../src/redis/connect.js';
import type { RedisClient } from '../../src/redis/script.js';
import { startCluster, startRedis, startSentinel } from '../support/redis.js';

const nobody = { username: undefined, password: undefined };
const open = { tls: false, ...nobody };

const opened = (t: Tap, location: RedisLocation, timeoutMs = 1000): RedisClient => {
  const client = connect(location, { timeoutMs, name: 'latchkey-test', onError: () => undefined });
  t.teardown(() => client.disconnect());
  return client;
};
type Tap = { teardown(fn: () => void): void };

t.test('to a standalone server, under a name, in a database', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const client = opened(t, { kind: 'standalone', host: redis.host, port: redis.port, db: 3, ...open });
  await waitUntilReady(client, 60_000);
  t.type(client, Redis);
  await client.set('key', 'value');
  const inspector = redis.client({ db: 3 });
  t.equal(await inspector.get('key'), 'value');
  t.match(await inspector.client('LIST'), /name=latchkey-test /);
  await waitUntilReady(client, 0);
  t.equal(client.status, 'ready', 'a ready client is not waited for');
});

t.test('what is told of a password that is refused does not hold it', async (t) => {
  const [redis, cluster] = await Promise.all([startRedis(), startCluster({ masters: 3 })]);
  t.teardown(() => Promise.all([redis.stop(), cluster.stop()]));
  const access = { tls: false, username: 'nobody', password: 'canary-password' };
  const nodes = cluster.nodes.map(({ host, port }) => ({ host, port }));
  for (const location of [
    { kind: 'standalone', host: redis.host, port: redis.port, db: 0, ...access },
    { kind: 'cluster', nodes, ...access },
  ] as RedisLocation[]) {
    const error = await new Promise<Error>((resolve) => {
      const client = connect(location, { timeoutMs: 1000, name: 'latchkey-test', onError: resolve });
      t.teardown(() => client.disconnect());
    });
    t.notMatch(inspect(error, { depth: 10, showHidden: true }), 'canary', location.kind);
  }
});

t.test('over a unix socket, with a password', async (t) => {
  const path = join(t.testdir(), 's');
  const redis = await startRedis({ args: ['--unixsocket', path] });
  t.teardown(() => redis.stop());
  await redis.client().config('SET', 'requirepass', 'sesame');
  const client = opened(t, { kind: 'unix', path, username: undefined, password: 'sesame' });
  await waitUntilReady(client, 60_000);
  t.equal(await client.ping(), 'PONG');
  const user = opened(t, { kind: 'unix', path, username: 'default', password: 'sesame' });
  await waitUntilReady(user, 60_000);
  t.equal(await user.ping(), 'PONG');
  const stranger = opened(t, { kind: 'unix', path, ...nobody });
  await waitUntilReady(stranger, 300);
  await t.rejects(stranger.get('key'));
});

t.test('with TLS it speaks TLS, and believes no stranger’s certificate', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const errors: Error[] = [];
  const client = connect(
    { kind: 'standalone', host: redis.host, port: redis.port, db: 0, ...open, tls: true },
    { timeoutMs: 300, name: 'x', onError: (error) => errors.push(error) },
  );
  t.teardown(() => client.disconnect());
  await waitUntilReady(client, 500);
  t.not(client.status, 'ready', 'a server without TLS is not talked to');
  t.ok(errors.length > 0, 'which is told');
  const viaSentinel = opened(
    t,
    { kind: 'sentinel', sentinels: [{ host: redis.host, port: redis.port }], name: 'm', db: 0, ...open, tls: true },
    300,
  );
  await waitUntilReady(viaSentinel, 300);
  t.not(viaSentinel.status, 'ready');
});

t.test('nothing waits for a connection: without one, a command fails at once', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const port = redis.port;
  await redis.kill();
  const client = opened(t, { kind: 'standalone', host: redis.host, port, db: 0, ...open });
  const begun = Date.now();
  await waitUntilReady(client, 200);
  t.ok(Date.now() - begun >= 190, 'the wait has an end');
  const asked = Date.now();
  await t.rejects(client.get('key'));
  t.ok(Date.now() - asked < 500, 'long before its deadline');

  await redis.restart();
  await waitUntilReady(client, 60_000);
  t.equal(await client.ping(), 'PONG', 'it connects by itself when there is a server');
});

t.test('to whichever server Sentinel calls the master', async (t) => {
  const sentinel = await startSentinel();
  t.teardown(() => sentinel.stop());
  const sentinels = sentinel.sentinels.map(({ host, port }) => ({ host, port }));
  const client = opened(t, { kind: 'sentinel', sentinels, name: 'mymaster', db: 0, ...open });
  await waitUntilReady(client, 60_000);
  await client.set('key', 'value');
  t.equal(await sentinel.master.client().get('key'), 'value');
});

t.test('to a Cluster', async (t) => {
  const cluster = await startCluster({ masters: 3, args: ['--appendonly', 'no'] });
  t.teardown(() => cluster.stop());
  const client = opened(t, { kind: 'cluster', nodes: [cluster.nodes[0]!], ...open });
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
    'on every node of it',
  );
});
