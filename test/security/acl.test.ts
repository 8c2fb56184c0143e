import { copyFile, readdir, readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { connect, type RedisLocation, waitUntilReady } from '../../src/redis/connect.js';
import { buildPublicApp } from '../../src/server/apps.js';
import { loadConfig } from '../../src/server/config/load.js';
import { addUser, readRefusals, readRules } from '../support/acl.js';
import { PASSWORD, TOKEN_KEY } from '../support/credentials.js';
import { startCluster, startRedis, startSentinel } from '../support/redis.js';

const PREFIX = 'lk:';

/** Sends every kind of request to the public app, as it runs in production. */
async function runEveryFlow(t: Test, location: RedisLocation): Promise<void> {
  const config = {
    ...loadConfig({ LOG_LEVEL: 'silent' }),
    tokenKeys: [TOKEN_KEY] as [string],
  };
  const clients = {
    lookups: connect(location, { timeoutMs: 2000, name: 'lookups', onError: () => undefined }),
    scripts: connect(location, { timeoutMs: 2000, name: 'scripts', onError: () => undefined }),
  };
  await Promise.all(Object.values(clients).map((client) => waitUntilReady(client, 60_000)));
  const app = await buildPublicApp(config, clients);
  t.teardown(async () => {
    await app.close();
    for (const client of Object.values(clients)) client.disconnect();
  });
  const send = (method: 'GET' | 'POST' | 'DELETE', url: string, expected: number, payload?: object, access?: string) =>
    app
      .inject({
        method,
        url,
        ...(payload && { payload }),
        headers: access ? { authorization: `Bearer ${access}` } : {},
      })
      .then((reply) => {
        t.equal(reply.statusCode, expected, `${method} ${url} ${reply.statusCode === expected ? '' : reply.body}`);
        return reply.body === '' ? undefined : reply.json();
      });
  const login = (password = PASSWORD) =>
    send('POST', '/auth/login', 200, { username: 'ada', password, transport: 'bearer' });

  await send('POST', '/auth/register', 201, { username: 'ada', password: PASSWORD });
  await send('POST', '/auth/register', 409, { username: 'ada', password: PASSWORD });
  await send('POST', '/auth/login', 401, { username: 'ada', password: 'not the right password' });
  const first = await login();
  await send('GET', '/auth/session', 200, undefined, first.access_token);
  const second = await send('POST', '/auth/refresh', 200, { refresh_token: first.refresh_token });
  await send('GET', '/auth/session', 200, undefined, second.access_token);
  const other = await login();
  await send('GET', '/auth/sessions', 200, undefined, second.access_token);
  await send('DELETE', `/auth/sessions/${other.session.session_id}`, 204, undefined, second.access_token);
  const replaced = await send(
    'POST',
    '/auth/password',
    200,
    { current_password: PASSWORD, new_password: `${PASSWORD} two` },
    second.access_token,
  );
  await send('POST', '/auth/logout', 204, { scope: 'others' }, replaced.access_token);
  await send('POST', '/auth/logout', 204, {}, replaced.access_token);
  await send('POST', '/auth/refresh', 403, { refresh_token: replaced.refresh_token });
}

t.test('Redis refuses no flow that runs as the service’s user of users.acl', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const admin = redis.client();
  const user = await addUser(admin, 'latchkey', PREFIX);
  await runEveryFlow(t, { ...redis.location, ...user });
  t.same(await readRefusals(admin), []);
});

t.test('a Cluster refuses no flow that runs as the service’s user of users.acl', async (t) => {
  const cluster = await startCluster({ masters: 3 });
  t.teardown(() => cluster.stop());
  const admins = cluster.nodes.map((node) => node.client());
  const [user] = await Promise.all(admins.map((admin) => addUser(admin, 'latchkey', PREFIX)));
  await runEveryFlow(t, { ...cluster.location, ...user! });
  t.same((await Promise.all(admins.map(readRefusals))).flat(), []);
});

t.test('a master behind Sentinel refuses no flow that runs as the service’s user of users.acl', async (t) => {
  const sentinel = await startSentinel();
  t.teardown(() => sentinel.stop());
  const admin = sentinel.master.client();
  const user = await addUser(admin, 'latchkey', PREFIX);
  await runEveryFlow(t, { ...sentinel.location, ...user });
  t.same(await readRefusals(admin), []);
});

t.test('the service’s user may run only the commands that the service needs, on its own keys only', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const admin = redis.client();
  const client = redis.client(await addUser(admin, 'latchkey', PREFIX));
  await admin.set('other:key', 'of another application');
  for (const words of [
    ['FLUSHALL'],
    ['FLUSHDB'],
    ['KEYS', '*'],
    ['CONFIG', 'GET', '*'],
    ['SHUTDOWN'],
    ['MONITOR'],
    ['ACL', 'LIST'],
    ['CLIENT', 'LIST'],
    ['CLIENT', 'KILL', 'ID', '1'],
    ['SCRIPT', 'FLUSH'],
    ['SAVE'],
    ['REPLICAOF', 'NO', 'ONE'],
    ['MODULE', 'LIST'],
    ['MIGRATE', '127.0.0.1', '1', 'lk:a', '0', '1'],
    ['RENAME', 'lk:a', 'lk:b'],
    ['PUBLISH', 'c', 'm'],
    ['GET', 'other:key'],
    ['SET', 'other:key', 'x'],
    ['MGET', 'lk:a', 'other:key'],
    ['EVAL', "return redis.call('GET', 'other:key')", '0'],
    ['EVAL', "return redis.call('FLUSHALL')", '0'],
  ]) {
    await t.rejects(
      client.call(words[0]!, ...words.slice(1)),
      { message: /NOPERM|the user executing the script/i },
      words.join(' '),
    );
  }
  t.equal(await admin.get('other:key'), 'of another application');
  t.ok((await readRefusals(admin)).length > 0, 'Redis logs the refusals');
});

t.test('the operator’s user reads sessions, writes nothing, and reads no password hash', async (t) => {
  const redis = await startRedis();
  t.teardown(() => redis.stop());
  const admin = redis.client();
  const operator = redis.client(await addUser(admin, 'operator', PREFIX));
  const p = 'lk:{a3f0}:';
  await admin.hset(`${p}session:s`, 'generation', 1);
  await admin.zadd(`${p}sessions:u`, 1, 'session:s');
  await admin.set(`${p}ended:s`, 'logged_out');
  await admin.set('lk:login:ada', 'u');
  await admin.hset(`${p}user:u`, 'password', '$argon2id$');
  t.same(await operator.hgetall(`${p}session:s`), { generation: '1' });
  t.same(await operator.zrange(`${p}sessions:u`, '0', '-1'), ['session:s']);
  t.equal(await operator.get(`${p}ended:s`), 'logged_out');
  t.equal(await operator.get('lk:login:ada'), 'u');
  t.equal(await operator.ttl(`${p}session:s`), -1);
  t.ok((await operator.scan('0'))[1].length > 0);
  t.same(await readRefusals(admin), []);
  const assertRefused = (act: Promise<unknown>, what: string) => t.rejects(act, { message: /NOPERM/ }, what);
  await assertRefused(operator.hgetall(`${p}user:u`), 'a user record');
  await assertRefused(operator.del(`${p}session:s`), 'ending a session');
  await assertRefused(operator.set(`${p}ended:s`, 'x'), 'a write');
  await assertRefused(operator.eval('return 1', 0), 'a script');
  await assertRefused(operator.call('FLUSHALL'), 'FLUSHALL');
});

t.test('Redis loads users.acl unchanged, with both users off until they are given a password', async (t) => {
  const file = `${t.testdir()}/users.acl`;
  await copyFile(new URL('../../users.acl', import.meta.url), file);
  const loaded = await startRedis({ args: ['--aclfile', file] });
  t.teardown(() => loaded.stop());
  const admin = loaded.client();
  const users = await admin.acl('LIST');
  t.same(users.map((line) => line.split(' ').slice(1, 3).join(' ')).sort(), [
    'default on',
    'latchkey off',
    'operator off',
  ]);
  await admin.call('ACL', 'SETUSER', 'latchkey', 'on', '>a secret');
  await admin.call('ACL', 'SAVE');
  await loaded.restart();
  t.equal(await loaded.client({ username: 'latchkey', password: 'a secret' }).ping(), 'PONG');
});

t.test('the service’s user is allowed no command that scripts, code and ioredis do not use', async (t) => {
  const inScripts = new Set(
    [...(await readSources('.lua')).matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, name]) => name!.toLowerCase()),
  );
  const inCode = new Set([...(await readSources('.ts')).matchAll(/\.([a-z]+)\(/g)].map(([, name]) => name));
  const usedByIoredis = ['info', 'client', 'cluster', 'select', 'asking'];
  const allowed = (await readRules('latchkey'))
    .filter((rule) => rule.startsWith('+'))
    .map((rule) => rule.slice(1).split('|')[0]!);
  t.same(
    allowed.filter((name) => !inScripts.has(name) && !inCode.has(name) && !usedByIoredis.includes(name)),
    [],
  );
  t.same(
    [...inScripts].filter((name) => !allowed.includes(name)),
    [],
    'every command in a script is allowed',
  );
});

async function readSources(extension: string): Promise<string> {
  const src = new URL('../../src/', import.meta.url);
  const names = (await readdir(src, { recursive: true })).filter((name) => name.endsWith(extension));
  return (await Promise.all(names.map((name) => readFile(new URL(name, src), 'utf8')))).join('\n');
}
