import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import t from 'tap';
import ts from 'typescript';
import { UnavailableError } from '../../src/errors.js';
import { asUnavailable, translatingFaults } from '../../src/redis/fault.js';
import { defineScript } from '../../src/redis/script.js';
import { startRedis } from '../support/redis.js';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));
const filesOf = (extension: string) =>
  readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith(extension)).sort();

interface Binding {
  file: string;
  keys: string[];
  args: string[];
  outcomes: string[];
}

/** What each call of defineScript in a source file says. */
function bindingsIn(file: string): Binding[] {
  const source = ts.createSourceFile(file, readFileSync(join(SOURCE, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Binding[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText() === 'defineScript') {
      const options = node.arguments[0] as ts.ObjectLiteralExpression;
      const value = (name: string) =>
        options.properties.find((property) => property.name?.getText() === name && ts.isPropertyAssignment(property)) as
          | ts.PropertyAssignment
          | undefined;
      const words = (name: string) =>
        (value(name)!.initializer as ts.ArrayLiteralExpression).elements.map((element) => (element as ts.StringLiteral).text);
      const url = value('file')!.initializer as ts.NewExpression;
      const lua = resolve(SOURCE, file, '..', (url.arguments![0] as ts.StringLiteral).text);
      found.push({ file: relative(SOURCE, lua), keys: words('keys'), args: words('args'), outcomes: words('outcomes') });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const bindings = filesOf('.ts').flatMap(bindingsIn);

t.test('every Lua file is bound once, but for what stands before others', async (t) => {
  const scripts = filesOf('.lua').filter((file) => !file.endsWith('prelude.lua'));
  t.same(bindings.map(({ file }) => file).sort(), scripts);
});

t.test('the header of every script says what its binding says, and its first lines name it', async (t) => {
  const listed = (names: string[]) => (names.length === 0 ? 'none' : names.join(', '));
  for (const { file, keys, args, outcomes } of bindings) {
    const lua = readFileSync(join(SOURCE, file), 'utf8').replace(/^#!lua .+\n/, '');
    const [title, keysLine, argvLine, answers] = lua.split('\n') as [string, string, string, string];
    t.match(title, new RegExp(`^-- ${file.split('/').at(-1)!.replace('.lua', '')}: .+\\.$`), `${file}: one sentence`);
    t.equal(keysLine, `-- KEYS: ${listed(keys)}`, file);
    t.equal(argvLine, `-- ARGV: ${listed(args)}`, file);
    t.ok(answers.startsWith('-- Answers: outcome '), file);
    t.same([...answers.matchAll(/'(\w+)'/g)].map(([, word]) => word).sort(), [...outcomes].sort(), `${file}: answers`);

    const code = lua.replace(/--.*$/gm, '').replace(/tonumber\(([^)]+)\)/g, '$1');
    const bound = (table: 'KEYS' | 'ARGV') => {
      for (const [, names, values] of code.matchAll(/^local ([\w, ]+) = (.+)$/gm)) {
        const each = names!.split(', ').map((_, i) => `${table}[${i + 1}]`);
        if (values === each.join(', ') || values === `unpack(${table})`) return names!.split(', ');
      }
      return [];
    };
    t.same(bound('KEYS'), keys, `${file}: binds its keys`);
    t.same(bound('ARGV'), args, `${file}: binds its arguments`);
  }
});

t.test('a script', async (t) => {
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

  await t.test('is handed its keys and arguments by name, and answers by name, in strings', async (t) => {
    const run = define("return { 'outcome', 'done', 'all', table.concat({ KEYS[1], KEYS[2], ARGV[1], ARGV[2] }, ','), 'count', 3 }");
    t.same(await run(client, input), { outcome: 'done', all: 'k1,k2,a,2', count: '3' });
  });

  await t.test('answers one of the words that it declares', async (t) => {
    await t.rejects(define("return { 'outcome', 'undone' }")(client, input), { message: 'A script answered undone, which it does not declare' });
  });

  await t.test('may have another file before it', async (t) => {
    const run = define("return { 'outcome', 'done', 'shared', shared }", "local shared = 'yes'\n");
    t.same(await run(client, input), { outcome: 'done', shared: 'yes' });
  });

  await t.test('is sent whole once, then by its SHA-1; SCRIPT FLUSH goes unnoticed; the client is left as it was', async (t) => {
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
  });

  await t.test('that is wrong is an error of ours; a Redis that is unable is a fault', async (t) => {
    await t.rejects(define('return nonsense(')(client, input), { name: 'ReplyError' });
    await t.rejects(define("return redis.call('NONSENSE')")(client, input), { name: 'ReplyError', message: /^ERR/ });
    await client.set('k1', 'a string');
    await t.rejects(define("return redis.call('HGETALL', KEYS[1])")(client, input), { message: /^WRONGTYPE/ });
    await client.config('SET', 'maxmemory', 1);
    await t.rejects(define("return redis.call('SET', KEYS[1], 'x')")(client, input), UnavailableError);
    await client.config('SET', 'maxmemory', 0);
    t.equal(await client.get('k1'), 'a string');
  });
});

t.test('faults of Redis are told from mistakes of ours, and neither is an answer', async (t) => {
  const replied = (message: string) => Object.assign(new Error(message), { name: 'ReplyError' });
  for (const message of [
    'OOM command not allowed', 'LOADING Redis is loading', 'READONLY You can’t write', 'CLUSTERDOWN Hash slot not served',
    'MASTERDOWN Link with MASTER is down', 'NOREPLICAS Not enough good replicas', 'BUSY Redis is busy', 'MISCONF unable to persist',
    'TRYAGAIN Multiple keys', 'NOAUTH Authentication required', 'ERRATIC',
  ]) {
    t.match(asUnavailable(replied(message)), { name: 'UnavailableError', code: 'unavailable', retryAfterSeconds: 1, cause: { message } });
  }
  for (const message of ['ERR syntax', 'WRONGTYPE Operation', 'EXECABORT Transaction', 'CROSSSLOT Keys']) {
    const mistake = replied(message);
    t.equal(asUnavailable(mistake), mistake);
  }
  t.type(asUnavailable(new Error('ERR, said something else')), UnavailableError);
  t.type(asUnavailable('not even an error'), UnavailableError);
  t.equal(await translatingFaults(async () => 'an answer'), 'an answer');
  await t.rejects(translatingFaults(async () => { throw new Error('Command timed out'); }), UnavailableError);
});
