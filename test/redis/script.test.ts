import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { UnavailableError } from '../../src/errors.js';
import { callRedis, translateRedisError } from '../../src/redis/faults.js';
import { defineScript } from '../../src/redis/script.js';
import { startRedis } from '../support/redis.js';

t.test('defineScript', async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no'] });
  t.teardown(() => redis.stop());
  const client = redis.client({ maxRetriesPerRequest: 0 });

  const define = (lua: string, prelude?: string) => {
    const directory = t.testdir({ 'script.lua': lua, 'prelude.lua': prelude ?? '' });
    return defineScript({
      file: pathToFileURL(join(directory, 'script.lua')),
      ...(prelude !== undefined && { prelude: pathToFileURL(join(directory, 'prelude.lua')) }),
      keys: ['one', 'two'],
      args: ['first', 'second'],
      outcomes: ['done'],
    });
  };
  const input = { keys: { two: 'k2', one: 'k1' }, args: { second: 2, first: 'a' } };

  await t.test('a script receives keys and arguments by name, and its reply has names and strings', async (t) => {
    const run = define(
      "return { 'outcome', 'done', 'all', table.concat({ KEYS[1], KEYS[2], ARGV[1], ARGV[2] }, ','), 'count', 3 }",
    );
    t.same(await run(client, input), { outcome: 'done', all: 'k1,k2,a,2', count: '3' });
  });

  await t.test('a script that returns an undeclared outcome is an error', async (t) => {
    await t.rejects(define("return { 'outcome', 'undone' }")(client, input), {
      message: /^\w.*\.lua returned the undeclared outcome undone$/,
    });
  });

  await t.test('a script can have a prelude file', async (t) => {
    const run = define("return { 'outcome', 'done', 'shared', shared }", "local shared = 'yes'\n");
    t.same(await run(client, input), { outcome: 'done', shared: 'yes' });
  });

  await t.test(
    'a script is sent whole once, then called by SHA-1, also after SCRIPT FLUSH, and defines nothing on the client',
    async (t) => {
      const run = define("return { 'outcome', 'done' }");
      const before = Object.keys(client);
      const calls = async (command: string) =>
        Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await client.info('commandstats'))?.[1] ?? 0);
      await client.config('RESETSTAT');
      for (let i = 0; i < 3; i++) t.same(await run(client, input), { outcome: 'done' });
      t.equal(await calls('eval'), 1);
      await client.script('FLUSH');
      t.same(await run(client, input), { outcome: 'done' });
      t.same(await run(client, input), { outcome: 'done' });
      t.equal(await calls('eval'), 2);
      t.equal(await calls('evalsha'), 5);
      t.same(Object.keys(client), before);
    },
  );

  await t.test(
    'a defect in a script is a ReplyError, and a Redis that cannot serve is an UnavailableError',
    async (t) => {
      await t.rejects(define('return nonsense(')(client, input), { name: 'ReplyError' });
      await t.rejects(define("return redis.call('NONSENSE')")(client, input), { name: 'ReplyError', message: /^ERR/ });
      await client.set('k1', 'a string');
      await t.rejects(define("return redis.call('HGETALL', KEYS[1])")(client, input), { message: /^WRONGTYPE/ });
      await client.config('SET', 'maxmemory', 1);
      await t.rejects(define("return redis.call('SET', KEYS[1], 'x')")(client, input), UnavailableError);
      await client.config('SET', 'maxmemory', 0);
      t.equal(await client.get('k1'), 'a string');
    },
  );
});

t.test('distinguishes faults of Redis from defects in our commands', async (t) => {
  const replied = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });
  for (const message of [
    'OOM command not allowed',
    'LOADING Redis is loading',
    'READONLY You can’t write',
    'CLUSTERDOWN Hash slot not served',
    'MASTERDOWN Link with MASTER is down',
    'NOREPLICAS Not enough good replicas',
    'BUSY Redis is busy',
    'MISCONF unable to persist',
    'TRYAGAIN Multiple keys',
    'NOAUTH Authentication required',
    'ERRATIC',
  ]) {
    t.match(translateRedisError(replied(message)), {
      name: 'UnavailableError',
      code: 'unavailable',
      retryAfterSeconds: 1,
      cause: { message },
    });
  }
  for (const message of ['ERR syntax', 'WRONGTYPE Operation', 'EXECABORT Transaction', 'CROSSSLOT Keys']) {
    const mistake = replied(message);
    t.equal(translateRedisError(mistake), mistake);
  }
  t.type(translateRedisError(new Error('ERR, said something else')), UnavailableError);
  t.type(translateRedisError('not even an error'), UnavailableError);
  t.equal(await callRedis(async () => 'an answer'), 'an answer');
  await t.rejects(
    callRedis(async () => {
      throw new Error('Command timed out');
    }),
    UnavailableError,
  );
});
